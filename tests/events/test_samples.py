"""Whatever was recorded once must be read for ever, and mean the same."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, TypeAdapter

from libs.events import (
    AgentCommandEnvelope,
    decode_agent_command,
    decode_command,
    decode_event,
    encode_agent_command,
    encode_command,
    encode_event,
)
from libs.events.approve import SAMPLES, Sample, known_types, meaning, registry_of, samples
from libs.events.envelope import CommandEnvelope, EventEnvelope, Malformed
from libs.events.generate import SCHEMAS
from libs.events.registry import REGISTRIES

ALL = list(samples())
BY_TYPE: dict[str, dict[str, Sample]] = defaultdict(dict)
for sample in ALL:
    BY_TYPE[sample.type_name][sample.name] = sample

PRESENT = {name: cls for _, registry in REGISTRIES for name, cls in registry.classes()}


def named(sample: Sample) -> str:
    return f"{sample.type_name}-{sample.name}"


def within(approved: Any, now: Any) -> bool:
    """Whether everything that was approved is still so; new fields may have come since."""
    if isinstance(approved, dict) and isinstance(now, dict):
        return all(name in now and within(value, now[name]) for name, value in approved.items())
    if isinstance(approved, list) and isinstance(now, list):
        return len(approved) == len(now) and all(map(within, approved, now))
    return type(approved) is type(now) and bool(approved == now)


@pytest.mark.parametrize("type_name", known_types())
def test_every_type_has_samples(type_name: str) -> None:
    assert {"minimal", "full"} <= BY_TYPE[type_name].keys(), (
        f"{type_name} lacks approved samples: write {SAMPLES.name}/{type_name}.json with a `minimal`"
        " and a `full` sample (see libs/events/approve.py), run `python -m libs.events.approve`,"
        " read what it says they mean, and commit"
    )


def test_every_sample_is_of_a_known_type() -> None:
    assert BY_TYPE.keys() - known_types() == set(), "a type was removed; write an upcaster for it"


@pytest.mark.parametrize("sample", ALL, ids=named)
def test_means_what_was_approved(sample: Sample) -> None:
    assert sample.means is not None, "not approved yet: run `python -m libs.events.approve`"
    now = meaning(sample.type_name, sample.data)
    assert within(sample.means, now), (
        f"{named(sample)} no longer means what it meant. Recorded events hold such data: give the"
        " contract a new version and an upcaster instead of changing this one"
    )


@pytest.mark.parametrize("sample", [s for s in ALL if s.type_name in PRESENT], ids=named)
def test_is_written_again_as_it_was(sample: Sample) -> None:
    data = json.dumps(sample.data).encode()
    decoded = registry_of(sample.type_name).decode(sample.type_name, data)
    assert json.loads(decoded.model_dump_json(exclude_defaults=True)) == sample.data


@pytest.mark.parametrize("sample", ALL, ids=named)
def test_fits_the_published_schema(sample: Sample) -> None:
    schema = json.loads((SCHEMAS / f"{sample.type_name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(sample.data)


@pytest.mark.parametrize(("type_name", "cls"), sorted(PRESENT.items()))
def test_some_sample_shows_every_field(type_name: str, cls: type[BaseModel]) -> None:
    shown = {name for sample in BY_TYPE[type_name].values() for name in sample.data}
    missing = cls.model_fields.keys() - shown
    assert not missing, (
        f"add one more sample of {type_name} that shows {sorted(missing)}"
        " (leave the approved ones as they are)"
    )


@pytest.mark.parametrize(("type_name", "cls"), sorted(PRESENT.items()))
def test_minimal_sample_has_only_what_is_required(type_name: str, cls: type[BaseModel]) -> None:
    required = {name for name, field in cls.model_fields.items() if field.is_required()}
    assert BY_TYPE[type_name]["minimal"].data.keys() == required


class Before(BaseModel):
    number: int
    note: str = "none"


class FieldRemoved(BaseModel):
    number: int


class FieldRequired(BaseModel):
    number: int
    note: str


class DefaultChanged(BaseModel):
    number: int
    note: str = "nothing"


class FieldAdded(BaseModel):
    number: int
    note: str = "none"
    more: int = 0


@pytest.mark.parametrize(
    ("later", "compatible"),
    [(FieldAdded, True), (FieldRemoved, False), (FieldRequired, False), (DefaultChanged, False)],
)
def test_the_checks_above_catch_incompatible_changes(
    later: type[BaseModel], compatible: bool
) -> None:
    documents: list[dict[str, Any]] = [{"number": 1}, {"number": 2, "note": "x"}]
    approved = [Before.model_validate(data).model_dump() for data in documents]

    def unchanged(data: dict[str, Any], means: dict[str, Any]) -> bool:
        try:
            now = TypeAdapter(later).validate_python(data)
        except ValueError:
            return False
        return within(means, now.model_dump())

    assert all(map(unchanged, documents, approved)) is compatible


def record(name: str) -> tuple[Any, list[tuple[str, bytes]], bytes, bytes]:
    document = json.loads((SAMPLES / name).read_text(encoding="utf-8"))
    headers = [(header, value.encode()) for header, value in document["headers"]]
    return document["means"], headers, document["key"].encode(), document["value"].encode()


def test_a_recorded_kafka_record_of_an_event() -> None:
    means, headers, key, value = record("record.event.json")
    envelope = decode_event(value, headers)
    assert not isinstance(envelope, Malformed), envelope
    fields = TypeAdapter(EventEnvelope).dump_python(envelope, mode="json")
    assert within(means, fields)
    assert envelope.computed_hash() == envelope.hash == means["hash"]
    assert encode_event(envelope) == (key, value, headers)


def test_a_recorded_kafka_record_of_a_command() -> None:
    means, headers, key, value = record("record.command.json")
    envelope = decode_command(value, headers)
    assert not isinstance(envelope, Malformed), envelope
    fields = TypeAdapter(CommandEnvelope).dump_python(envelope, mode="json")
    assert within(means, {**fields, "type": envelope.type})
    assert encode_command(envelope) == (key, value, headers)


def test_a_recorded_kafka_record_of_a_command_on_an_agent() -> None:
    means, headers, key, value = record("record.agent_command.json")
    envelope = decode_agent_command(value, headers)
    assert not isinstance(envelope, Malformed), envelope
    fields = TypeAdapter(AgentCommandEnvelope).dump_python(envelope, mode="json")
    assert within(means, {**fields, "type": envelope.type})
    assert encode_agent_command(envelope) == (key, value, headers)
