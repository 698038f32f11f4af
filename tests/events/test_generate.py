from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from libs.events import EVENTS, Event, generate, topics
from libs.events.approve import approve
from libs.events.base import PersonalData
from libs.events.registry import REGISTRIES

SCHEMAS = generate.schemas()
CONTRACTS = list(generate.contracts())


def test_the_generated_files_are_current() -> None:
    wrong = {path.name: what for path, what in generate.stale().items()}
    assert wrong == {}, "run `python -m libs.events.generate` and commit what it writes"


def test_every_contract_has_a_schema_that_names_it() -> None:
    registered = [name for _, registry in REGISTRIES for name, _ in registry.classes()]
    assert sorted(SCHEMAS) == sorted(registered)
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:bitacora:schema:{name}"
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("TicketCreated", topics.TICKETS_EVENTS),
        ("CreateTicket", topics.TICKETS_COMMANDS),
        ("CommandRejected", topics.TICKETS_REJECTIONS),
        ("AgentRegistered", topics.AGENTS_EVENTS),
        ("TicketRouted", topics.ROUTING_DECISIONS),
        ("AcceptOffer", topics.AGENTS_COMMANDS),
        ("AgentCommandRefused", topics.ROUTING_DECISIONS),
        ("SlaBreached", topics.SLA_EVENTS),
        ("CalendarDefined", topics.SLA_EVENTS),
    ],
)
def test_every_contract_travels_on_one_topic(name: str, topic: str) -> None:
    assert SCHEMAS[f"bitacora.{name}.v1"]["x-bitacora-topic"] == topic


def test_unknown_fields_in_schemas_as_on_the_wire() -> None:
    extra = {"priority": "low", "previous": "high", "mood": 1}
    Draft202012Validator(SCHEMAS["bitacora.PriorityChanged.v1"]).validate(extra)
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMAS["bitacora.ChangePriority.v1"]).validate(extra)
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMAS["bitacora.CreateTicket.v1"]).validate(
            {"subject": "x", "requester": {"id": "c", "emial": "x"}}
        )


def marks(schema: dict[str, Any]) -> dict[str, str]:
    return {
        name: field["x-personal-data"]["subject"]
        for name, field in schema.get("properties", {}).items()
        if "x-personal-data" in field
    }


def test_marks_of_personal_data_travel_into_the_schemas() -> None:
    schema = SCHEMAS["bitacora.TicketCreated.v1"]
    assert marks(schema) == {"subject": "requester.id", "description": "requester.id"}
    assert marks(schema["$defs"]["Requester"]) == {"name": "id", "email": "id", "phone": "id"}
    assert marks(SCHEMAS["bitacora.MessageAdded.v1"]) == {"body": "author_id"}


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.type_name)
def test_every_mark_names_a_field_that_identifies_the_person(contract: generate.Contract) -> None:
    for name, field in contract.cls.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, PersonalData):
                where: Any = contract.cls
                for part in mark.subject.split("."):
                    fields = where.model_fields
                    assert part in fields, f"{name} names {mark.subject}, which is not there"
                    where = fields[part].annotation


def test_the_reference_has_every_type_field_and_topic() -> None:
    page = generate.REFERENCE.read_text(encoding="utf-8")
    for topic in topics.TOPICS:
        assert f"## {topic.name}\n" in page
    for contract in CONTRACTS:
        section = page.split(f"### {contract.type_name}\n", 1)[1].split("\n### ", 1)[0]
        for field in contract.cls.model_fields:
            assert f"| `{field}` |" in section


def in_a_copy(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Generated files of a made-up checkout, current."""
    monkeypatch.setattr(generate, "SCHEMAS", folder / "schemas")
    monkeypatch.setattr(generate, "DOCUMENT", folder / "asyncapi.json")
    monkeypatch.setattr(generate, "REFERENCE", folder / "docs" / "reference" / "events.md")
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    return folder / "schemas"


def test_the_check_notices_what_is_stale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = in_a_copy(monkeypatch, tmp_path)
    (schemas / "bitacora.Assigned.v1.json").write_text("{}")
    (schemas / "bitacora.Escalated.v1.json").unlink()
    (schemas / "bitacora.Forgotten.v1.json").write_text("{}")
    assert generate.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "bitacora.Assigned.v1.json is out of date" in told
    assert "bitacora.Escalated.v1.json is missing" in told
    assert "bitacora.Forgotten.v1.json belongs to no contract" in told
    assert "python -m libs.events.generate" in told
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert not (schemas / "bitacora.Forgotten.v1.json").exists()


def test_a_superseded_version_keeps_its_schema(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    schemas = in_a_copy(monkeypatch, tmp_path)
    monkeypatch.setattr(EVENTS, "_upcasters", {})
    EVENTS.upcast("bitacora.Assigned.v9", "bitacora.Assigned.v1")(dict)
    old = schemas / "bitacora.Assigned.v9.json"
    assert generate.stale() == {old: "is missing"}
    old.write_text("{}")
    assert generate.main([]) == 0
    assert old.exists()


def test_a_module_of_contracts_needs_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    class Homeless(Event):
        pass

    monkeypatch.setattr(EVENTS, "_classes", {"bitacora.Homeless.v1": Homeless})
    with pytest.raises(LookupError, match="_TOPIC_OF_MODULE"):
        list(generate.contracts())


def test_wrong_arguments_say_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_approving_fills_in_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "bitacora.PriorityChanged.v1.json"
    data = {"priority": "low", "previous": "high"}
    old = {"name": "minimal", "data": data, "means": {"approved": "long ago"}}
    document = {"type": path.stem, "samples": [old, {"name": "full", "data": data}]}
    path.write_text(json.dumps(document))
    assert approve(path) == 1
    assert json.loads(path.read_text())["samples"] == [
        old,
        {"name": "full", "data": data, "means": data},
    ]
    assert approve(path) == 0
