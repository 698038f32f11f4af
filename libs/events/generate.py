"""Writes what is derived from the contracts: JSON Schemas, AsyncAPI, the reference page.

`python -m libs.events.generate` writes; `--check` writes nothing and exits 1 when a file is stale.

- `libs/events/schemas/<type>.json`: JSON Schema (draft 2020-12) of each event and command version,
- `libs/events/asyncapi.json`: the AsyncAPI 3.0 document of all topics,
- `docs/reference/events.md`: the tables of all topics, events, commands and fields.

A version that was superseded (it has an upcaster instead of a class) keeps its last schema file:
recorded events and other people's code still refer to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from libs.events import agent, agent_commands, commands, rejection, routing, sla, ticket, topics
from libs.events.asyncapi import DOCUMENT, asyncapi_document
from libs.events.headers import SCHEMA_BASE
from libs.events.reference import reference_page
from libs.events.registry import REGISTRIES

SCHEMAS: Final = Path(__file__).parent / "schemas"
REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TOPIC_OF_MODULE: Final[Mapping[str, str]] = {
    ticket.__name__: topics.TICKETS_EVENTS,
    commands.__name__: topics.TICKETS_COMMANDS,
    rejection.__name__: topics.TICKETS_REJECTIONS,
    agent.__name__: topics.AGENTS_EVENTS,
    agent_commands.__name__: topics.AGENTS_COMMANDS,
    routing.__name__: topics.ROUTING_DECISIONS,
    sla.__name__: topics.SLA_EVENTS,
}


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of one event or command, and where it travels."""

    type_name: str
    kind: Literal["event", "command"]
    cls: type[BaseModel]
    topic: topics.Topic


class _Plain(GenerateJsonSchema):
    """Without a title per field: it would only repeat the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def contracts() -> Iterator[Contract]:
    """Every present version: events by topic, then commands.

    Raises LookupError when a module of contracts has no topic: name it in `_TOPIC_OF_MODULE`.
    """
    by_name = {topic.name: topic for topic in topics.TOPICS}
    found: list[Contract] = []
    for kind, registry in REGISTRIES:
        for name, cls in registry.classes():
            topic = _TOPIC_OF_MODULE.get(cls.__module__)
            if topic is None:
                raise LookupError(
                    f"{name} is declared in {cls.__module__}, which has no topic: "
                    f"add the module to _TOPIC_OF_MODULE in {__name__}"
                )
            found.append(Contract(name, kind, cls, by_name[topic]))
    order = [topic.name for topic in topics.TOPICS]
    yield from sorted(found, key=lambda c: (order.index(c.topic.name), c.type_name))


def schema_of(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of a contract as it stands on the wire.

    Events allow unknown fields (a newer producer may add some), commands refuse them everywhere.
    """
    schema = contract.cls.model_json_schema(schema_generator=_Plain)
    definitions = schema.get("$defs", {})
    for part in (schema, *definitions.values()):
        if "description" in part:
            part["description"] = " ".join(part["description"].split())
        if part.get("type") == "object":
            part["additionalProperties"] = contract.kind == "event"
    head = {
        "$schema": DIALECT,
        "$id": SCHEMA_BASE + contract.type_name,
        "title": schema.pop("title"),
        "x-bitacora-kind": contract.kind,
        "x-bitacora-topic": contract.topic.name,
        "x-bitacora-owner": contract.topic.owner,
    }
    return {**head, **schema}


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of every present version, by type name."""
    return {contract.type_name: schema_of(contract) for contract in contracts()}


def outputs() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    made = [(contract, schema_of(contract)) for contract in contracts()]
    files = {SCHEMAS / f"{c.type_name}.json": _json(schema) for c, schema in made}
    files[DOCUMENT] = _json(asyncapi_document(schema for _, schema in made))
    files[REFERENCE] = reference_page(schema for _, schema in made)
    return files


def stale() -> dict[Path, str]:
    """The files that are not what they must be, each with what is wrong with it."""
    wrong: dict[Path, str] = {}
    wanted = outputs()
    for path, content in wanted.items():
        if not path.exists():
            wrong[path] = "is missing"
        elif path.read_text(encoding="utf-8") != content:
            wrong[path] = "is out of date"
    kept = {SCHEMAS / f"{old}.json" for _, registry in REGISTRIES for old, _ in registry.lifted()}
    for path in SCHEMAS.glob("*"):
        if path not in wanted and path not in kept:
            wrong[path] = "belongs to no contract"
    wrong |= {path: "is missing" for path in kept if not path.exists()}
    return wrong


def write() -> int:
    """Write every file that is out of date and remove those of no contract. Returns how many."""
    wrong, wanted = stale(), outputs()
    for path in wrong:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        elif path.exists():
            path.unlink()
    return len(wrong)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m libs.events.generate [--check]\n")
        return 2
    if not arguments:
        sys.stdout.write(f"{write()} files written\n")
        return 0
    wrong = stale()
    for path, what in sorted(wrong.items()):
        sys.stderr.write(f"{path.relative_to(REFERENCE.parents[2])} {what}\n")
    if wrong:
        sys.stderr.write("run `python -m libs.events.generate` and commit what it writes\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
