"""The AsyncAPI document: valid by the official schema, complete, and true of real messages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker

from libs.events import (
    EventEnvelope,
    decode_command,
    decode_event,
    encode_command,
    encode_event,
    topics,
)
from libs.events.approve import SAMPLES
from libs.events.asyncapi import DOCUMENT, asyncapi_document
from libs.events.envelope import CommandEnvelope
from libs.events.generate import contracts, schemas

DATA = Path(__file__).parents[1] / "data"
OFFICIAL = Draft7Validator(
    json.loads(gzip.decompress((DATA / "asyncapi-3.0.0.schema.json.gz").read_bytes()))
)
TEXT = DOCUMENT.read_text(encoding="utf-8")
MADE: dict[str, Any] = json.loads(TEXT)
MESSAGES = MADE["components"]["messages"]


def problems(document: Any) -> list[str]:
    return [f"{list(e.absolute_path)}: {e.message[:300]}" for e in OFFICIAL.iter_errors(document)]


def test_it_is_valid() -> None:
    assert problems(MADE) == []


def _shout(document: Any) -> None:
    document["operations"]["send.tickets.events"]["action"] = "shout"


def _half_a_partition(document: Any) -> None:
    document["channels"]["sla.events"]["bindings"]["kafka"]["partitions"] = 0.5


def _no_such_type(document: Any) -> None:
    schema = document["components"]["schemas"]["bitacora.Assigned.v1"]
    schema["properties"]["group"] = {"type": "txt"}


def _without_info(document: Any) -> None:
    del document["info"]


@pytest.mark.parametrize("spoil", [_shout, _half_a_partition, _no_such_type, _without_info])
def test_the_validation_finds_what_is_wrong(spoil: Callable[[Any], None]) -> None:
    document = json.loads(TEXT)
    spoil(document)
    assert problems(document) != []


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for part in node for found in references(part)]
    if not isinstance(node, dict):
        return []
    inner = [found for part in node.values() for found in references(part)]
    return [*inner, node["$ref"]] if isinstance(node.get("$ref"), str) else inner


def test_every_reference_leads_somewhere() -> None:
    for reference in references(MADE):
        node = MADE
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node
    assert "$defs" not in TEXT


def test_every_contract_is_a_message_of_its_topic() -> None:
    listed = {(name, message) for name, c in MADE["channels"].items() for message in c["messages"]}
    assert listed == {(c.topic.name, c.type_name) for c in contracts()}
    actions = {o["channel"]["$ref"][11:]: o["action"] for o in MADE["operations"].values()}
    assert actions.pop(topics.TICKETS_COMMANDS) == "receive"
    assert actions.pop(topics.AGENTS_COMMANDS) == "receive"
    assert set(actions.values()) == {"send"}
    assert MADE["channels"].keys() == {topic.name for topic in topics.TOPICS}


def validator(schema: Any) -> Draft7Validator:
    """As a reader of the document sees it: references lead into `components`."""
    whole = {**schema, "components": MADE["components"]}
    return Draft7Validator(whole, format_checker=FormatChecker())


@pytest.mark.parametrize("name", MESSAGES)
def test_the_examples_fit_their_payloads(name: str) -> None:
    examples = MESSAGES[name]["examples"]
    assert {"minimal", "full"} <= {example["name"] for example in examples}
    for example in examples:
        validator(MESSAGES[name]["payload"]).validate(example["payload"])


def test_unknown_fields_as_on_the_wire() -> None:
    extra = {"subject": "x", "requester": {"id": "c", "emial": "x"}}
    assert not validator(MESSAGES["bitacora.CreateTicket.v1"]["payload"]).is_valid(extra)
    created = {**extra, "number": 1, "channel": "form"}
    assert validator(MESSAGES["bitacora.TicketCreated.v1"]["payload"]).is_valid(created)


def sampled(kind: str) -> tuple[str, dict[str, str]]:
    """(type, headers) of the approved record, written again by the code of today."""
    record = json.loads((SAMPLES / f"record.{kind}.json").read_text(encoding="utf-8"))
    raw = [(name, value.encode()) for name, value in record["headers"]]
    if kind == "event":
        event = decode_event(record["value"].encode(), raw)
        assert isinstance(event, EventEnvelope)
        _, _, headers = encode_event(event)
        return event.type, {name: value.decode() for name, value in headers}
    command = decode_command(record["value"].encode(), raw)
    assert isinstance(command, CommandEnvelope)
    _, _, headers = encode_command(command)
    return command.command.TYPE, {name: value.decode() for name, value in headers}


@pytest.mark.parametrize("kind", ["event", "command"])
def test_the_headers_of_a_real_message_are_those_of_the_document(kind: str) -> None:
    name, headers = sampled(kind)
    schema = MESSAGES[name]["headers"]
    validator(schema).validate(headers)
    shared = MADE["components"]["schemas"]["EventHeaders" if kind == "event" else "CommandHeaders"]
    described = {*shared["properties"], "ce_type", "ce_dataschema"}
    assert headers.keys() <= described
    for required in shared["required"]:
        without = {key: value for key, value in headers.items() if key != required}
        assert not validator(schema).is_valid(without)


def test_one_name_means_one_thing() -> None:
    made = schemas()
    other = json.loads(json.dumps(made["bitacora.TicketCreated.v1"]))
    other["$id"] += "0"
    other["$defs"]["Status"]["enum"].append("forgotten")
    with pytest.raises(LookupError, match="Status"):
        asyncapi_document([*made.values(), other])
