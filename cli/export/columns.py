"""What the Parquet files hold: one row per event, and one row per ticket.

An event's columns are its headers, under their names on the wire, and its data as JSON text. A
ticket's columns are the fields of the public fold (`libs.events.fold.Ticket`), with its requester
spread over columns of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import pyarrow as pa

from libs.events import EventEnvelope, Ticket
from libs.events.headers import SCHEMA_BASE
from libs.events.ticket import Requester

_TIME: Final = pa.timestamp("us", tz="UTC")
_TEXTS: Final = pa.list_(pa.string())

EVENT_SCHEMA: Final = pa.schema(
    [
        ("ce_specversion", pa.string()),
        ("ce_id", pa.string()),
        ("ce_source", pa.string()),
        ("ce_type", pa.string()),
        ("ce_subject", pa.string()),
        ("ce_time", _TIME),
        ("ce_recordedtime", _TIME),
        ("ce_sequence", pa.int64()),
        ("ce_position", pa.int64()),
        ("ce_correlationid", pa.string()),
        ("ce_causationid", pa.string()),
        ("ce_actor", pa.string()),
        ("ce_dataschema", pa.string()),
        ("ce_previoushash", pa.string()),
        ("ce_hash", pa.string()),
        ("traceparent", pa.string()),
        ("content_type", pa.string()),
        ("data", pa.string()),
    ]
)

_REQUESTER: Final = tuple(Requester.model_fields)
_OF_TYPE: Final[Mapping[str, Any]] = {
    "int": pa.int64(),
    "bool": pa.bool_(),
    "datetime | None": _TIME,
    "frozenset[str]": _TEXTS,
    "Mapping[str, str]": pa.map_(pa.string(), pa.string()),
    "tuple[tuple[str, str], ...]": pa.list_(
        pa.struct([("kind", pa.string()), ("other", pa.string())])
    ),
}
_TEXT_TYPES: Final = ("str", "str | None", "Status", "Priority", "Channel")


def _ticket_schema() -> Any:
    """Columns in the order of the fold's fields. Raises LookupError for a type without a column."""
    columns: list[tuple[str, Any]] = []
    for field in fields(Ticket):
        kind = str(field.type)
        if field.name == "requester":
            columns += [(f"requester_{part}", pa.string()) for part in _REQUESTER]
        elif kind in _TEXT_TYPES:
            columns.append((field.name, pa.string()))
        elif kind in _OF_TYPE:
            columns.append((field.name, _OF_TYPE[kind]))
        else:
            raise LookupError(f"the fold's field {field.name} is a {kind}: say which column it is")
    return pa.schema(columns)


TICKET_SCHEMA: Final = _ticket_schema()


def event_row(envelope: EventEnvelope) -> tuple[Any, ...]:
    """The values of EVENT_SCHEMA. Raises UnicodeDecodeError when the data is not UTF-8."""
    return (
        "1.0",
        envelope.id,
        envelope.source,
        envelope.type,
        envelope.stream_id,
        envelope.time,
        envelope.recorded_time,
        envelope.sequence,
        envelope.position,
        envelope.correlation_id,
        envelope.causation_id,
        envelope.actor,
        SCHEMA_BASE + envelope.type,
        envelope.previous_hash,
        envelope.hash,
        envelope.traceparent,
        "application/json",
        envelope.data.decode(),
    )


def ticket_row(ticket: Ticket) -> tuple[Any, ...]:
    """The values of TICKET_SCHEMA."""
    values = dict(ticket.__dict__)
    person = values.pop("requester")
    values |= {f"requester_{part}": getattr(person, part, None) for part in _REQUESTER}
    values["tags"] = sorted(ticket.tags)
    values["custom_fields"] = sorted(ticket.custom_fields.items())
    values["links"] = [{"kind": kind, "other": other} for kind, other in ticket.links]
    return tuple(values[name] for name in TICKET_SCHEMA.names)


def batch_of(schema: Any, rows: Sequence[tuple[Any, ...]]) -> Any:
    """Rows as an Arrow record batch."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
