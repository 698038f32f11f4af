"""Agents: they come, take what they are given, answer, ask, hand over, solve, and go home."""

from __future__ import annotations

from typing import Any

from cli.demo import requesters, texts
from cli.demo.api import Answer
from cli.demo.people import LEAD, LUNCH, Agent, Shift
from cli.demo.plan import Script, Step
from cli.demo.world import Case, World

LOOK_MIN = 6.0
"""Minutes between two looks of somebody who has nothing to do."""
LEAD_MIN = 25.0
URGENCY = {"critical": 0, "high": 1, "medium": 2, "low": 3}
LIST_MAX = 200


async def register(world: World, agent: Agent) -> None:
    await world.api.send("POST", "routing", "/v1/agents", agent.registration(), actor="system")


async def life(world: World, agent: Agent) -> None:
    """Shift after shift."""
    for shift in agent.shifts(world.time.now()):
        await world.time.until(shift.start)
        await _set_presence(world, agent, "online")
        await _work(world, agent, shift)
        await _go_home(world, agent)


async def _set_presence(world: World, agent: Agent, presence: str) -> None:
    if presence != "online":
        world.at_work.pop(agent.id, None)
    path = f"/v1/agents/{agent.id}/presence"
    body = {"presence": presence}
    await world.api.send("PUT", "routing", path, body, actor=f"agent:{agent.id}")
    if presence == "online":
        world.at_work[agent.id] = agent


async def _work(world: World, agent: Agent, shift: Shift) -> None:
    eaten = world.time.now() >= shift.lunch + LUNCH
    while world.time.now() < shift.end:
        if not eaten and world.time.now() >= shift.lunch:
            eaten = True
            await _set_presence(world, agent, "away")
            await world.time.pause(LUNCH.total_seconds() / 60)
            await _set_presence(world, agent, "online")
        found = await _next(world, agent)
        if found is None:
            await world.time.pause(LOOK_MIN)
            continue
        case, state = found
        world.busy.add(agent.id)
        try:
            await _handle(world, agent, case, state)
        finally:
            world.busy.discard(agent.id)


async def _mine(world: World, agent: Agent) -> list[dict[str, Any]]:
    """The agent's open tickets, the most urgent first, as reporting's list shows them."""
    listed = await world.api.get(
        "reporting", "/v1/tickets", agent=agent.id, status="open", limit=LIST_MAX
    )
    rows = listed.body.get("tickets", []) if listed.ok else []
    return sorted(rows, key=lambda row: (URGENCY[row["priority"]], row["created_at"], row["id"]))


async def _next(world: World, agent: Agent) -> tuple[Case, Answer] | None:
    """The ticket to work on now. The list may be a moment old: intake says what is so."""
    for row in await _mine(world, agent):
        case = world.cases.get(row["id"])
        if case is None:
            continue  # its requester is still being told the number
        state = await world.ticket(case.id)
        if state.ok and state.body["agent"] == agent.id and state.body["status"] == "open":
            return case, state
    return None


async def _handle(world: World, agent: Agent, case: Case, state: Answer) -> None:
    """One turn. If the ticket changed meanwhile (412), it is looked at again from the start."""
    step = case.next_step()
    etag = await _triage(world, agent, case, state)
    await world.time.pause(step.work_min)
    if step.kind == "recategorize":
        done = await _recategorize(world, agent, case, etag)
    elif step.kind == "escalate":
        done = await _escalate(world, agent, case, etag)
    else:
        done = await _reply(world, agent, case, step, etag)
    if done:
        case.turns += 1


async def _triage(world: World, agent: Agent, case: Case, state: Answer) -> str | None:
    """What the first agent puts right before working on it; the version afterwards."""
    script, actor, etag = case.script, f"agent:{agent.id}", state.etag
    if case.triaged:
        return etag
    case.triaged = True
    path = f"custom-fields/{texts.FIELDS[script.true_category]}"
    filled = await world.change("PUT", case.id, path, {"value": script.reference}, actor=actor)
    etag = filled.etag or etag
    if script.new_priority is not None and script.new_priority != script.priority:
        body = {"priority": script.new_priority}
        changed = await world.change("PUT", case.id, "priority", body, actor=actor)
        etag = changed.etag or etag
    return etag


async def _reply(world: World, agent: Agent, case: Case, step: Step, etag: str | None) -> bool:
    language = case.script.language
    text, status = {
        "ask": (texts.QUESTION, "pending"),
        "hold": (texts.PATIENCE, "on_hold"),
    }.get(step.kind, (texts.SOLUTION, "solved"))
    if step.note:
        noted = await _note(world, agent, case, texts.NOTE, etag)
        if not noted.ok:
            return False
        etag = noted.etag
    said = await world.write(case.id, "agent", agent.id, text[language], if_match=etag)
    if not said.ok:
        return False
    actor = f"agent:{agent.id}"
    moved = await world.change("PUT", case.id, "status", {"status": status}, actor=actor)
    if moved.ok:
        if status == "pending":
            world.crowd.start(requesters.answer_question(world, case, step))
        elif status == "on_hold":
            world.crowd.start(_other_department(world, case, step))
        else:
            world.crowd.start(requesters.look_at_solution(world, case))
    return True


async def _other_department(world: World, case: Case, step: Step) -> None:
    await world.time.pause(step.later_min)
    await world.write(case.id, "system", "desk", texts.NOTE_SUPPLIER, internal=True)
    body = {"status": "open", "reason": "the other department has answered"}
    await world.change("PUT", case.id, "status", body, actor="system")


async def _recategorize(world: World, agent: Agent, case: Case, etag: str | None) -> bool:
    """It was filed wrongly: put that right, and hand it to a colleague who knows about it; if there
    is none at work, routing will find somebody."""
    category, actor = case.script.true_category, f"agent:{agent.id}"
    body = {"category": category}
    moved = await world.change("PUT", case.id, "category", body, actor=actor, if_match=etag)
    if not moved.ok:
        return False
    if category in agent.skills:
        return True
    note = await _note(world, agent, case, texts.NOTE_MOVED, moved.etag)
    colleague = _colleague(world, agent, case)
    if note.ok and colleague:
        holder = {"group": colleague.group, "agent": colleague.id}
        await world.change("PUT", case.id, "assignment", holder, actor=actor)
    elif note.ok:
        await world.change("DELETE", case.id, "assignment", actor=actor)
    return True


def _colleague(world: World, agent: Agent, case: Case) -> Agent | None:
    """Somebody at work who could take this case too; rather one who has nothing to do just now."""
    script = case.script
    able = [
        other
        for name, other in sorted(world.at_work.items())
        if name != agent.id
        and other.tiers == agent.tiers
        and script.language in other.languages
        and script.true_category in other.skills
    ]
    return min(able, key=lambda other: other.id in world.busy, default=None)


async def _escalate(world: World, agent: Agent, case: Case, etag: str | None) -> bool:
    if 1 not in agent.tiers:
        return True  # a specialist has it already
    actor = f"agent:{agent.id}"
    note = await _note(world, agent, case, texts.NOTE_ESCALATE, etag)
    if not note.ok:
        return False
    body = {"tier": 2, "reason": "needs a specialist"}
    if (await world.change("POST", case.id, "escalations", body, actor=actor)).ok:
        await world.change("DELETE", case.id, "assignment", actor=actor)
    return True


async def _note(
    world: World, agent: Agent, case: Case, note: str, if_match: str | None = None
) -> Answer:
    text = note.format(**_filling(case.script))
    return await world.write(case.id, "agent", agent.id, text, internal=True, if_match=if_match)


def _filling(script: Script) -> dict[str, str]:
    return {
        "field": texts.FIELDS[script.true_category].replace("_", " "),
        "ref": script.reference,
        "category": script.true_category,
    }


async def _go_home(world: World, agent: Agent) -> None:
    """Offline first, so that nothing new comes; then back to the queue what is still open."""
    await _set_presence(world, agent, "offline")
    for row in await _mine(world, agent):
        await world.write(row["id"], "agent", agent.id, texts.NOTE_HOME, internal=True)
        await world.change("DELETE", row["id"], "assignment", actor=f"agent:{agent.id}")


async def lead(world: World, staff: dict[str, Agent]) -> None:
    """Looks at all open tickets now and then, and takes back those that are with the wrong person:
    somebody who has gone home, or who does not work at the tier that the SLA has moved them to."""
    while True:
        await world.time.pause(LEAD_MIN)
        listed = await world.api.get("reporting", "/v1/tickets", status="open", limit=500)
        for row in listed.body.get("tickets", []) if listed.ok else []:
            holder = staff.get(row["agent"] or "")
            if holder is None or holder.id in world.busy:
                continue
            if holder.id not in world.at_work:
                why = f"{holder.id} is not at work"
            elif row["tier"] not in holder.tiers:
                why = f"it is at tier {row['tier']} now"
            else:
                continue
            text = texts.NOTE_LEAD.format(why=why)
            await world.write(row["id"], "agent", LEAD, text, internal=True)
            await world.change("DELETE", row["id"], "assignment", actor=f"agent:{LEAD}")
