"""The requirements at hand-over on a real store: changed over HTTP, in force at once, in one order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import event, select

from libs.events import Command, CommandEnvelope
from libs.events import commands as c
from libs.events.topics import TICKETS_REJECTIONS
from tests.intake.conftest import Intake

PATH = "/v1/hand-over-requirements"
ORDER = [{"category": "*", "fields": ["order"]}]
STEPS = [{"category": "*", "fields": ["order"], "tiers": {"2": ["steps"]}}]
NOTHING: list[dict[str, Any]] = []


@pytest.fixture
def intake_url(database_url: str) -> str:
    """These run on SQLite and on PostgreSQL."""
    return database_url


async def require(intake: Intake, document: Any, actor: str = "agent:lead", **headers: str) -> Any:
    answer = await intake.call("PUT", PATH, {"requirements": document}, actor, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(command_id: str, ticket_id: str, command: Command, actor: str) -> CommandEnvelope:
    return CommandEnvelope(command_id, ticket_id, command, actor, source="/x")


async def test_nothing_is_required_until_somebody_says_so(intake: Intake) -> None:
    answer = await intake.http.get(PATH)
    assert answer.headers["ETag"] == '"0"'
    assert answer.json() == {
        "version": 0,
        "changed_at": None,
        "changed_by": None,
        "after_position": 0,
        "requirements": [],
    }


async def test_a_refused_hand_over_lists_what_is_missing(intake: Intake) -> None:
    await require(intake, STEPS)
    path = f"/v1/tickets/{await intake.create()}"
    refused = await intake.call("POST", f"{path}/escalations", {}, "agent:7", idempotency_key="k")
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    body = refused.json()
    assert (body["code"], body["missing"]) == ("missing_information", ["order", "steps"])
    assert body["requirements_version"] == 1
    for field in ("order", "steps"):
        await intake.call("PUT", f"{path}/custom-fields/{field}", {"value": "17"}, "agent:7")
    again = await intake.call("POST", f"{path}/escalations", {}, "agent:7", idempotency_key="k")
    assert (again.status_code, again.json()["missing"]) == (409, ["order", "steps"])
    done = await intake.call("POST", f"{path}/escalations", {}, "agent:7", idempotency_key="k2")
    assert done.status_code == 200


async def test_so_does_one_in_a_batch_and_one_from_kafka(intake: Intake) -> None:
    await require(intake, ORDER)
    ticket_id = await intake.create()
    command = {"command_id": "b-1", "type": "EscalateTicket", "ticket_id": ticket_id}
    batch = {"commands": [command | {"actor": "agent:7", "data": {}}]}
    answer = (await intake.call("POST", "/v1/commands/batch", batch)).json()["results"][0]
    assert (answer["code"], answer["missing"]) == ("missing_information", ["order"])

    from_kafka = ask("k-1", ticket_id, c.EscalateTicket(), "agent:7")
    await intake.desk.submit(from_kafka, publish_rejections=True)
    rows = intake.service.store.outbox.rows
    query = select(rows.c.data).where(rows.c.topic == TICKETS_REJECTIONS)
    (said,) = await intake.service.store.read(lambda c: list(c.scalars(query)))
    rejection = from_json(said)
    assert (rejection["code"], rejection["missing"]) == ("missing_information", ["order"])
    assert "missing" not in from_json((await _other_rejection(intake, ticket_id))[-1])


async def _other_rejection(intake: Intake, ticket_id: str) -> list[bytes]:
    command = c.UnassignTicket(if_agent="9")
    await intake.desk.submit(
        ask("k-2", ticket_id, command, "service:routing"), publish_rejections=True
    )
    rows = intake.service.store.outbox.rows
    query = select(rows.c.data).where(rows.c.stream_id == "k-2")
    return await intake.service.store.read(lambda c: list(c.scalars(query)))


async def test_a_change_holds_for_the_next_decision(intake: Intake) -> None:
    ticket_id = await intake.create()
    codes = []
    for number, document in enumerate((ORDER, NOTHING, STEPS, NOTHING)):
        await require(intake, document)
        command = ask(f"e-{number}", ticket_id, c.EscalateTicket(), "agent:7")
        codes.append((await intake.desk.submit(command)).code)
    assert codes == ["missing_information", "", "missing_information", ""]


async def test_versions_say_who_when_and_behind_which_event(intake: Intake) -> None:
    first = await require(intake, ORDER, "agent:lead")
    assert (first["version"], first["after_position"]) == (1, 0)
    await intake.create()
    intake.clock.advance(60)
    same = await require(intake, ORDER, "agent:other")
    assert same == first, "what is so already is no new version"
    second = await require(intake, STEPS, "system")
    assert second["changed_at"] == "2026-03-02T09:01:00Z"
    assert (second["changed_by"], second["after_position"]) == ("system", 1)
    listed = (await intake.http.get(f"{PATH}/versions")).json()["versions"]
    assert listed == [second, first]
    assert (await intake.http.get(PATH)).json() == second


async def test_two_people_do_not_overwrite_each_other(intake: Intake) -> None:
    await require(intake, ORDER, if_match='"0"')
    answer = await intake.call("PUT", PATH, {"requirements": STEPS}, if_match='"0"')
    assert (answer.status_code, answer.json()["code"]) == (412, "stale_version")
    assert answer.json()["current_version"] == 1
    together = await asyncio.gather(
        *(intake.call("PUT", PATH, {"requirements": STEPS}, if_match='"1"') for _ in range(5)),
        *(intake.call("PUT", PATH, {"requirements": []}, if_match='"1"') for _ in range(5)),
    )
    assert sorted({answer.status_code for answer in together}) == [200, 412]
    assert (await intake.http.get(PATH)).json()["version"] == 2


async def test_only_a_hand_over_pays_for_reading_them(intake: Intake) -> None:
    await require(intake, ORDER)
    statements: list[str] = []
    engine = intake.service.store.database.engine
    event.listen(
        engine, "before_cursor_execute", lambda *told: statements.append(told[2]), retval=False
    )
    path = f"/v1/tickets/{await intake.create()}"
    ticket_id = path.rpartition("/")[2]
    await intake.call("PUT", f"{path}/priority", {"priority": "high"}, "agent:7")
    take = c.AssignTicket(group="audio", agent="7", if_unassigned=True)
    await intake.desk.submit(ask("r", ticket_id, take, "service:routing"))
    await intake.desk.submit(ask("s", ticket_id, c.EscalateTicket(tier=2), "service:sla"))
    assert statements
    assert not [text for text in statements if "hand_over_requirements" in text]
    for _ in range(3):
        await intake.call("POST", f"{path}/escalations", {"tier": 3}, "agent:7")
    read = [text for text in statements if "hand_over_requirements" in text]
    assert [text for text in read if "document" not in text] == [read[0], *read[2:]]
    assert len(read) == 4, "one number each time, and the document once"


async def test_openapi_says_what_a_refusal_carries(intake: Intake) -> None:
    paths = (await intake.http.get("/openapi.json")).json()["paths"]
    for path, method in (("escalations", "post"), ("assignment", "put")):
        answers = paths[f"/v1/tickets/{{ticket_id}}/{path}"][method]["responses"]
        schema = answers["409"]["content"]["application/problem+json"]["schema"]
        assert schema["properties"]["missing"]["type"] == "array"
    assert {"get", "put"} <= paths[PATH].keys()
