"""`bitacora routing explain`: why a ticket waits or who has it, why an agent has no work, what waits."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cli.output import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonFlag,
    UsageError,
    print_facts,
    print_json,
    print_table,
    say,
)

INDENT: Final = " " * len("2026-03-01 09:00:00Z")
STATES: Final = {
    "waiting": "waits for an agent",
    "offered": "is offered to {agent} until {until}",
    "reserved": "is given to {agent}; intake has not confirmed it yet (asked again at {until})",
    "refused": "waits: intake refused the last assignment; it is tried again at {until}",
    "held": "is held by {agent}",
    "not_eligible": "needs no agent now: it is {because}",
}
VERDICTS: Final = {
    "retired": "has left",
    "off_duty": "is not on duty: {reason}",
    "full": "has no room: {load} of {capacity} units are in use",
    "nothing_waits": "has room, and no ticket waits",
    "nothing_fits": "has room, and none of the waiting tickets can be given to this agent",
    "free": "has room, and waiting work fits: it is given with the next change",
}


def explain(
    ticket: Annotated[
        str | None,
        typer.Argument(metavar="TICKET", help="Its id, its number, or its imported name."),
    ] = None,
    *,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="ID", help="Why this agent has no more work.")
    ] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Everything that waits, and why.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Why a ticket waits or who has it, as of now, and every decision on it.

    With --agent, why that agent has no (more) work; with --queue, what waits and why.
    """
    from cli.desk import Desk

    if (ticket is not None) + (agent is not None) + queue != 1:
        raise UsageError("give a ticket, or --agent ID, or --queue")
    with Desk(data_dir) as desk:
        if ticket is not None:
            found = desk.get("routing", f"/v1/decisions/{desk.ticket_id(ticket)}")
            show = _show_ticket
        elif agent is not None:
            found = desk.get("routing", f"/v1/agents/{quote(agent, safe='')}/idle")
            show = _show_agent
        else:
            found = desk.get("routing", "/v1/queue/lines")
            show = _show_lines
    if json:
        print_json(found)
    else:
        show(found)


def _show_ticket(found: Mapping[str, Any]) -> None:
    from libs.events.routing_text import needs_text

    agent = f"agent {found['agent']}" if found["agent"] else "an agent"
    because = str(found["because"]).replace("_", " ")
    state = STATES[found["state"]].format(agent=agent, until=_time(found["until"]), because=because)
    facts: list[tuple[str, object]] = [
        ("ticket", f"#{found['number']}  {found['ticket_id']}"),
        ("state", state),
    ]
    now = found["now"]
    if now is not None:
        facts += [
            ("as of", _time(now["as_of"])),
            ("waits", f"since {_time(now['waiting_since'])} ({_ago(now, 'waiting_since')})"),
            ("eligible", f"since {_time(now['eligible_since'])} ({_ago(now, 'eligible_since')})"),
            ("queue", now["queue"]),
            ("place", f"{now['position']} of {now['of']} who need the same"),
            ("needs", needs_text(now["needs"])),
            *_why(now["reasons"]),
        ]
    print_facts(facts)
    routed: Mapping[str, Any] = next(
        (d for d in reversed(found["decisions"]) if _name(d) == "TicketRouted"), {}
    )
    looked_at = routed.get("candidates", ()) if now is None else now["candidates"]
    if looked_at:
        when = "in the last decision" if now is None else "now, the nearest first"
        _heading(f"Agents who were looked at {when}")
        _print_candidates(looked_at, routed.get("strategy"))
    _heading("Decisions, the oldest first")
    for decision in found["decisions"]:
        _print_decision(decision)
    if not found["decisions"]:
        say("routing has decided nothing about this ticket")


def _print_candidates(candidates: Sequence[Mapping[str, Any]], strategy: str | None) -> None:
    from libs.events.routing_text import reasons_of_one, score_text

    rows = [
        [
            candidate["agent"],
            score_text(strategy, candidate.get("score")),
            reasons_of_one(candidate.get("rejected", ())) or "could take it",
        ]
        for candidate in candidates
    ]
    print_table(["agent", "score", "why not"], rows)


def _print_decision(decision: Mapping[str, Any]) -> None:
    from libs.events.routing_text import counted_reasons, needs_text, sentence, trigger_text

    facts: list[tuple[str, object]] = [
        (_time(decision["time"]), sentence(_name(decision), decision, {}))
    ]
    if _name(decision) == "TicketRouted":
        batch = decision.get("batch", 1)
        parts = [
            f"because {trigger_text(decision['trigger'])}",
            f"queue {decision['queue']}" if decision.get("queue") else "",
            f"rules version {decision['rule_version']}",
            f"one of {batch} matched together" if batch > 1 else "",
        ]
        facts += [(INDENT, "; ".join(part for part in parts if part))]
        if needs := needs_text(decision.get("needs")):
            facts += [(INDENT, f"asked for: {needs}")]
        if decision["outcome"] == "nobody":
            facts += [
                (INDENT, f"- {text}") for text in counted_reasons(decision.get("rejected", ()))
            ]
    print_facts(facts)


def _name(decision: Mapping[str, Any]) -> str:
    return str(decision["type"]).split(".")[1]


def _heading(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")


def _show_agent(found: Mapping[str, Any]) -> None:
    from libs.events.routing_text import needs_text, reasons_of_one

    off_duty = reasons_of_one([found["off_duty_reason"]]) if found["off_duty_reason"] else ""
    verdict = VERDICTS[found["verdict"]].format(reason=off_duty, **found)
    print_facts(
        [
            ("agent", found["agent"]),
            ("verdict", verdict),
            ("load", f"{found['load']} of {found['capacity']} units"),
            ("until", _time(found["next_change"])),
        ]
    )
    rows = [
        [
            kind["queue"],
            kind["waiting"],
            needs_text(kind["needs"]),
            reasons_of_one(kind["reasons"]) or _declined(kind),
        ]
        for kind in found["kinds"]
    ]
    if rows:
        _heading("What waits")
        print_table(["queue", "#waiting", "needs", "why not"], rows)


def _declined(kind: Mapping[str, Any]) -> str:
    if not kind["declined"]:
        return "fits this agent"
    how_many = "all" if kind["declined"] == kind["waiting"] else str(kind["declined"])
    return f"said no to {how_many} of them, or let the offer pass, a short time ago"


def _show_lines(found: Mapping[str, Any]) -> None:
    from libs.events.routing_text import needs_text

    for place, line in enumerate(found["lines"]):
        if place:
            sys.stdout.write("\n")
        print_facts(
            [
                ("queue", line["queue"]),
                ("waiting", line["waiting"]),
                ("oldest", f"{line['oldest']}, since {_time(line['oldest_since'])}"),
                ("needs", needs_text(line["needs"])),
                *_why(line["reasons"]),
            ]
        )
    if not found["lines"]:
        say("no ticket waits")


def _why(reasons: list[dict[str, Any]]) -> list[tuple[str, object]]:
    from libs.events.routing_text import counted_reasons

    texts = counted_reasons(reasons) or ["nothing is in the way: it is given with the next change"]
    return [("why" if place == 0 else "", text) for place, text in enumerate(texts)]


def _time(text: str | None) -> str:
    return "" if text is None else f"{text[:19].replace('T', ' ')}Z"


def _ago(now: Mapping[str, Any], name: str) -> str:
    from libs.events import parse_time

    seconds = int((parse_time(now["as_of"]) - parse_time(now[name])).total_seconds())
    hours, rest = divmod(max(seconds, 0), 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
