"""The AsyncAPI 3.0 document of all topics, made from the JSON Schemas of the contracts.

The application that it describes is Bitácora as a whole: it *sends* on the topics of events and
*receives* on the topics of commands. Whoever consumes the events does the opposite.

Schemas that several messages share stand once, below `components/schemas`. A schema object of
AsyncAPI is a superset of JSON Schema draft 7; our schemas use nothing that came later but `$defs`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from libs.events.topics import TOPICS, Topic

Schema = Mapping[str, Any]

DOCUMENT: Final = Path(__file__).parent / "asyncapi.json"
"""Where the generated document lies; it is part of the package, and every service serves it."""

BINDING: Final = "0.5.0"
"""Version of AsyncAPI's Kafka bindings."""

_SAMPLES: Final = Path(__file__).parent / "samples"

_DESCRIPTION: Final = """\
The topics of Bitácora: event-sourced support ticketing on Kafka.

Messages are CloudEvents 1.0 in Kafka binary mode: attributes are headers `ce_*`, the value is the \
event's data as JSON. The key is the stream's id, so that a stream is always in order. Delivery is at \
least once: keep the last `ce_sequence` of each stream and skip what you have. A field that has its \
default value is left out. Ignore fields and types that you do not know.\
"""

_EVENT: Final = (
    ("ce_id", "string", "`<stream id>:<sequence>`"),
    ("ce_source", "string", "the service that recorded it, such as `/bitacora/intake`"),
    ("ce_subject", "string", "stream id"),
    ("ce_time", "time", "when it happened (business time)"),
    ("ce_recordedtime", "time", "when it was appended to the log"),
    ("ce_sequence", "number", "place in its stream: 1, 2, 3 … without gaps"),
    ("ce_position", "number", "place in its owner's whole log; grows, may skip numbers"),
    ("ce_correlationid", "string", "the conversation it belongs to"),
    ("ce_causationid", "string", "id of the message that led to it; may be empty"),
    ("ce_actor", "string", "who did it: `agent:7`, `requester:c-1`, `service:routing`, `system`"),
    ("ce_previoushash", "hash", "hash of the event before it in its stream; zeros for the first"),
    ("ce_hash", "hash", "SHA-256 over its content and the hash before it"),
)
_COMMAND: Final = (
    ("ce_id", "string", "the command's id: the same id again asks for nothing new"),
    ("ce_source", "string", "who sent it"),
    ("ce_subject", "string", "ticket id; of a request to routing `agent:<id>`"),
    ("ce_correlationid", "string", "the conversation it belongs to"),
    ("ce_causationid", "string", "id of the message that led to it; may be empty"),
    ("ce_actor", "string", "who asks"),
)
_COMMAND_OPTIONAL: Final = (
    ("ce_time", "time", "of imports: when it happened; of requests to routing: when it was asked"),
    ("ce_expectedsequence", "number", "refuse unless the stream is at this sequence"),
)
_SHAPES: Final[Mapping[str, Schema]] = {
    "string": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "number": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}


def asyncapi_document(schemas: Iterable[Schema]) -> dict[str, Any]:
    """The document, from the schemas of all contracts (as `libs.events.generate.schemas` gives them).

    Raises LookupError when two contracts mean different things by one name.
    """
    listed = list(schemas)
    parts: dict[str, Any] = {
        "EventHeaders": _headers(_EVENT),
        "CommandHeaders": _headers(_COMMAND, _COMMAND_OPTIONAL),
    }
    messages = {}
    for schema in listed:
        parts[_type(schema)] = _collect(schema, parts)
        messages[_type(schema)] = _message(schema)
    used = {schema["x-bitacora-topic"] for schema in listed}
    topics = [topic for topic in TOPICS if topic.name in used]
    return {
        "asyncapi": "3.0.0",
        "id": "urn:bitacora:topics",
        "info": {
            "title": "Bitácora",
            "version": "1",
            "description": _DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": _server()},
        "channels": {topic.name: _channel(topic, listed) for topic in topics},
        "operations": dict(_operation(topic) for topic in topics),
        "components": {"messages": messages, "schemas": dict(sorted(parts.items()))},
    }


def _server() -> Schema:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "description": "The Kafka cluster, or the broker that `bitacora up` starts.",
        "variables": {
            "bootstrap": {"default": "127.0.0.1:9092", "description": "host:port of a broker"}
        },
    }


def _channel(topic: Topic, schemas: Iterable[Schema]) -> Schema:
    names = [_type(schema) for schema in schemas if schema["x-bitacora-topic"] == topic.name]
    return {
        "address": topic.name,
        "description": f"Written by {topic.owner}: {topic.holds}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    "retention.ms": topic.retention_ms,
                },
                "bindingVersion": BINDING,
            }
        },
    }


def _operation(topic: Topic) -> tuple[str, Schema]:
    action = "receive" if topic.owner == "anybody" else "send"
    summary = f"{'Takes' if action == 'receive' else 'Says'} {topic.holds}"
    channel = {"$ref": f"#/channels/{topic.name}"}
    return f"{action}.{topic.name}", {"action": action, "channel": channel, "summary": summary}


def _message(schema: Schema) -> Schema:
    name, command = _type(schema), schema["x-bitacora-kind"] == "command"
    fixed = {
        "ce_type": {"type": "string", "const": name},
        "ce_dataschema": {"type": "string", "const": schema["$id"]},
    }
    shared = "CommandHeaders" if command else "EventHeaders"
    message: dict[str, Any] = {"name": name, "title": schema["title"]}
    if "description" in schema:
        message["summary"] = schema["description"]
    return message | {
        "contentType": "application/json",
        "headers": {
            "allOf": [
                {"$ref": f"#/components/schemas/{shared}"},
                {"type": "object", "required": list(fixed), "properties": fixed},
            ]
        },
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "stream id (of a command: its subject)"},
                "bindingVersion": BINDING,
            }
        },
        "examples": _examples(name),
    }


def _examples(name: str) -> list[Schema]:
    path = _SAMPLES / f"{name}.json"
    if not path.exists():
        return []  # the tests of the samples name it
    samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
    return [{"name": sample["name"], "payload": sample["data"]} for sample in samples]


def _headers(
    required: Iterable[tuple[str, str, str]], optional: Iterable[tuple[str, str, str]] = ()
) -> Schema:
    always = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        **{name: {**_SHAPES[kind], "description": what} for name, kind, what in required},
        "content-type": {"type": "string", "const": "application/json"},
    }
    sometimes = {name: {**_SHAPES[kind], "description": what} for name, kind, what in optional}
    sometimes["traceparent"] = {"type": "string", "description": "W3C trace context"}
    return {"type": "object", "required": list(always), "properties": {**always, **sometimes}}


def _collect(schema: Schema, parts: dict[str, Any]) -> Schema:
    """The schema of a contract with its definitions moved to `parts`."""
    definitions = schema.get("$defs", {})
    command = schema["x-bitacora-kind"] == "command"
    # A command refuses unknown fields and an event does not: their parts are not the same.
    names = {
        name: f"{name}InCommand" if command and part.get("type") == "object" else name
        for name, part in definitions.items()
    }
    for name, part in definitions.items():
        moved = _moved(part, names)
        if parts.setdefault(names[name], moved) != moved:
            raise LookupError(f"{_type(schema)} means another {name} than a contract before it")
    own = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "$defs")}
    moved_own: Schema = _moved(own, names)
    return moved_own


def _moved(node: Any, names: Mapping[str, str]) -> Any:
    """`node` with its references leading to where the definitions have gone."""
    if isinstance(node, list):
        return [_moved(part, names) for part in node]
    if not isinstance(node, Mapping):
        return node
    moved = {key: _moved(value, names) for key, value in node.items()}
    if "$ref" in moved:
        name = names[str(moved["$ref"]).removeprefix("#/$defs/")]
        moved["$ref"] = f"#/components/schemas/{name}"
    return moved


def _type(schema: Schema) -> str:
    return str(schema["$id"]).rsplit(":", 1)[-1]
