"""Requesters: they ask, ask again, answer, come back when it did not help, and rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cli.demo import texts
from cli.demo.people import Agent
from cli.demo.plan import Script, Step
from cli.demo.world import Case, World

UNFINISHED = ("new", "open")


async def arrive(world: World, scripts: Iterable[Script]) -> None:
    """Everybody, one after the other, each at their time."""
    for script in scripts:
        await world.time.until(script.at)
        world.crowd.start(_ask(world, script))


async def _ask(world: World, script: Script) -> None:
    caller = _who_answers_the_phone(world, script) if script.channel == "phone" else None
    actor = f"agent:{caller.id}" if caller else f"requester:{script.requester}"
    answer = await world.api.send("POST", "intake", "/v1/tickets", request_of(script), actor=actor)
    if not answer.ok:
        return
    case = world.cases[answer.body["id"]] = Case(answer.body["id"], script)
    if caller:
        # Who took the call keeps the case, unless routing has given it to somebody by now.
        holder = {"group": caller.group, "agent": caller.id}
        await world.change("PUT", case.id, "assignment", holder, actor=actor, if_match=answer.etag)
    if script.nudge_min is not None:
        await world.time.pause(script.nudge_min)
        await _nudge(world, case)


def _who_answers_the_phone(world: World, script: Script) -> Agent | None:
    """The first free agent of tier 1 who speaks the language; None: it goes to the voice mail."""
    for agent_id in sorted(world.at_work):
        agent = world.at_work[agent_id]
        if agent_id not in world.busy and 1 in agent.tiers and script.language in agent.languages:
            return agent
    return None


def request_of(script: Script) -> dict[str, Any]:
    """The body for `POST /v1/tickets`."""
    return {
        "subject": script.subject,
        "description": script.description,
        "requester": {"id": script.requester, "organization": script.organization},
        "channel": script.channel,
        "language": script.language,
        "priority": script.priority,
        "category": script.category,
        "tags": [script.tag] if script.tag else [],
    }


async def _nudge(world: World, case: Case) -> None:
    state = await world.ticket(case.id)
    if state.ok and state.body["status"] in UNFINISHED and not state.body["first_replied_at"]:
        await _say(world, case, texts.NEWS)


async def answer_question(world: World, case: Case, step: Step) -> None:
    """What follows a question of the desk: the requester sends what was asked for."""
    await world.time.pause(step.later_min)
    await _say(world, case, texts.ANSWER)


async def look_at_solution(world: World, case: Case) -> None:
    """What follows a solution: back again if it did not help, else perhaps a rating."""
    script = case.script
    if script.reopen_min is not None and not case.reopened:
        case.reopened = True
        await world.time.pause(script.reopen_min)
        await _say(world, case, texts.STILL)
    elif script.rating is not None:
        await world.time.pause(script.rating_min)
        comment = texts.PRAISE if script.rating == "good" else texts.BLAME
        body = {"rating": script.rating, "comment": comment[script.language]}
        actor = f"requester:{script.requester}"
        await world.change("POST", case.id, "rating", body, actor=actor)


async def _say(world: World, case: Case, text: dict[str, str]) -> None:
    script = case.script
    answer = await world.write(case.id, "requester", script.requester, text[script.language])
    if answer.ok and "follow_up_of" in answer.body:
        # The ticket was closed by now: this opened another one, which goes its own short way.
        new_id = answer.body["id"]
        world.cases[new_id] = Case(new_id, script, turns=len(script.steps), reopened=True)
