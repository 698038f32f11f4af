"""`bitacora sla explain`: the proof of each verdict on a ticket."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from cli.desk import Desk
from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    CommandError,
    DataDir,
    JsonFlag,
    print_facts,
    print_json,
    print_table,
    say,
)
from libs.events import EventEnvelope, parse_time
from libs.events.sla import Metric

SECOND_US: Final = 1_000_000
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHY: Final = {
    "hours": "outside the calendar's hours",
    "holiday": "holiday: {name}",
    "special_day": "closed on the special day {name}",
    "status": "the ticket was {name}",
    "solved": "the ticket was {name}",
}
TERMS: Final = {
    "started": "started",
    "ticket": "the ticket changed",
    "calendar": "the calendar was edited",
    "tzdata": "new time zone rules",
}


def explain(
    ticket: Annotated[
        str, typer.Argument(metavar="TICKET", help="Its id, its number, or its imported name.")
    ],
    *,
    metric: Annotated[Metric | None, typer.Option(help="Only the clocks of this one.")] = None,
    from_log: Annotated[
        bool,
        typer.Option(
            "--from-log",
            help="Also replay the ticket's events here, and compare what comes out.",
        ),
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Prove each verdict on a ticket: what counted, what did not and why, by which event.

    The open time is counted a second time, day by day, and compared with what the service says.
    Exit status 1 when there is no such ticket, or when something does not add up.
    """
    with Desk(data_dir) as desk:
        ticket_id = desk.ticket_id(ticket)
        found = desk.get("sla", f"/v1/clocks/{ticket_id}/proof", metric=metric)
        history = _history(desk, ticket_id, needed=from_log)
        if from_log:
            found["from_log"] = _replay(desk, found, history, metric)
    holds = found["holds"] and not (from_log and found["from_log"]["differences"])
    if json:
        print_json(found)
    else:
        _print(found, {event.id: event for event in history})
    if not holds:
        raise typer.Exit(FAILED)


def _history(desk: Desk, ticket_id: str, *, needed: bool) -> Sequence[EventEnvelope]:
    try:
        return desk.history(ticket_id)
    except CommandError:
        if needed:
            raise
        return ()  # the events are shown by their numbers then


def _replay(
    desk: Desk, found: Mapping[str, Any], history: Sequence[EventEnvelope], metric: str | None
) -> dict[str, Any]:
    from cli.sla.books import present
    from cli.sla.replay import replayed_proofs
    from libs.worktime.instants import to_us
    from services.sla.domain.proof_document import compared

    as_of_us = to_us(parse_time(found["as_of"]))
    book = present(desk).book
    replayed = replayed_proofs(found["ticket_id"], history, book, as_of_us, metric)
    if replayed is None:
        raise CommandError("the history that intake has does not begin with a creation")
    return {"events": len(history), "differences": compared(found, replayed)}


# ---- for people --------------------------------------------------------------------------------


def _print(found: Mapping[str, Any], events: Mapping[str, EventEnvelope]) -> None:
    kind = "live" if found["live"] else "imported history: its time ends with its last event"
    print_facts([("ticket", found["ticket_id"]), ("as of", f"{found['as_of']} ({kind})")])
    calendars = {(one["id"], one["version"]): one for one in found["calendars"]}
    for clock in found["clocks"]:
        sys.stdout.write("\n")
        _print_clock(clock, calendars, events)
    if not found["clocks"]:
        say("no clock runs or ran on this ticket")
    log = found.get("from_log")
    if log is not None:
        for one in log["differences"]:
            say(
                f"DIFFERS: {one['metric']} {one['activation']}, {one['field']}:"
                f" recorded {one['recorded']}, replayed {one['replayed']}"
            )
        if not log["differences"]:
            say(f"replayed from {log['events']} events: every verdict is the same")
    say("every sum and verdict holds" if found["holds"] else "something does NOT add up")


def _print_clock(
    clock: Mapping[str, Any],
    calendars: Mapping[tuple[str, int], Mapping[str, Any]],
    events: Mapping[str, EventEnvelope],
) -> None:
    verdict = clock["verdict"]
    if verdict == "breached" and clock["state"] != "breached":
        verdict = f"BREACHED (now {clock['state']})"
    number = f" (activation {clock['activation']})" if clock["activation"] > 1 else ""
    left_us = clock["left_us"]
    facts: list[tuple[str, object]] = [
        (clock["metric"] + number, verdict),
        ("  started", f"{clock['started']}  by {_event(clock['started_by'], events)}"),
        *(("  held to", _terms(one, calendars, events)) for one in clock["terms"]),
        ("  due", clock["due"]),
        ("  breached", clock["breached_at"]),
        ("  ended", clock["ended"]),
        ("  counted", f"{length(clock['elapsed_us'])} of {length(clock['target_us'])}"),
        ("  left" if left_us >= 0 else "  over", length(abs(left_us))),
        *(
            ("  warning", f"{edge['fraction']} % at {edge['at']}")
            for edge in clock["edges"]
            if edge["kind"] == "warning"
        ),
        *(("  withdrawn", said) for said in _withdrawn(clock, events)),
    ]
    print_facts(facts)
    columns = ["  from", "until", "#counted", "#not counted", "why not", "events"]
    if clock["intervals_before_breach"]:
        sys.stdout.write("  up to the breach, by the calendar of then:\n")
        print_table(columns, [_row(one, events) for one in clock["intervals_before_breach"]])
        sys.stdout.write("  all of it, by the calendar of now:\n")
    rows = [_row(one, events) for one in clock["intervals"]]
    sums = clock["sums_us"]
    others_us = sum(sums.values()) - sums["counted"]
    rows.append(["  sum", "", length(sums["counted"]), length(others_us), "", ""])
    print_table(columns, rows)
    for check in clock["checks"]:
        if check["ok"] is False:
            said = f"counted anew {check['found']}, recorded {check['recorded']}"
            say(f"DOES NOT HOLD: {check['name']}: {said}")
        if check["ok"] is None:
            say(
                f"not compared: {check['name']} (it was reckoned by time zones {clock['tzdata']},"
                " or an event came after its timer)"
            )


def _withdrawn(clock: Mapping[str, Any], events: Mapping[str, EventEnvelope]) -> Iterator[str]:
    """Breaches that were taken back, and why."""
    stated = ""
    for edge in clock["edges"]:
        if edge["kind"] in {"breached", "missed"}:
            stated = edge["at"]
        elif edge["kind"] == "withdrawn":
            cause = _event(edge["cause"], events)
            yield f"the breach of {stated}: {cause}, dated {edge['at']}, came after its timer"


def _terms(
    one: Mapping[str, Any],
    calendars: Mapping[tuple[str, int], Mapping[str, Any]],
    events: Mapping[str, EventEnvelope],
) -> str:
    calendar = calendars[one["calendar"], one["calendar_version"]]
    text = (
        f"{length(one['target_us'])} of {one['calendar']} v{one['calendar_version']}"
        f" ({_hours(calendar)}), policy {one['policy']} v{one['policy_version']},"
        f" time zones {one['tzdata']}"
    )
    if one["reason"] != "started":
        reason = TERMS.get(one["reason"], one["reason"])
        text += f"; from {one['from']}: {reason}, {_event(one['cause'], events)}"
    return text


def _hours(calendar: Mapping[str, Any]) -> str:
    """`Europe/Madrid, mon-fri 09:00-13:00 14:00-18:00, 3 holidays`."""
    if calendar["hours"] is None:
        return "round the clock"
    runs: list[tuple[str, str, str]] = []
    for day in WEEKDAYS:
        shifts = " ".join(calendar["hours"].get(day, ()))
        if runs and runs[-1][2] == shifts:
            runs[-1] = (runs[-1][0], day, shifts)
        else:
            runs.append((day, day, shifts))
    parts = [calendar["zone"]]
    for first, last, shifts in runs:
        if shifts:
            parts.append(f"{first if first == last else f'{first}-{last}'} {shifts}")
    parts += [
        f"{calendar[name]:,} {name.replace('_', ' ')}"
        for name in ("holidays", "special_days")
        if calendar[name]
    ]
    return ", ".join(parts)


def _row(one: Mapping[str, Any], events: Mapping[str, EventEnvelope]) -> list[object]:
    text = length(one["length_us"])
    edges = [_event(one[name], events) for name in ("begun_by", "ended_by")]
    return [
        f"  {one['start']}",
        one["end"],
        text if one["counted"] else "",
        "" if one["counted"] else text,
        "" if one["counted"] else WHY[one["why"]].format(name=one["name"].replace("_", " ")),
        " → ".join(edges) if any(edges) else "",
    ]


def _event(event_id: str | None, events: Mapping[str, EventEnvelope]) -> str:
    """`3 StatusChanged`, as far as it is known."""
    if event_id is None:
        return ""
    number = event_id.rpartition(":")[2]
    event = events.get(event_id)
    return f"event {number}" if event is None else f"event {number} {event.type.split('.')[1]}"


def length(us: int) -> str:
    """Exact: `27 h 5 min 2.5 s`."""
    seconds, rest_us = divmod(us, SECOND_US)
    hours, rest_s = divmod(seconds, 3600)
    minutes, whole_s = divmod(rest_s, 60)
    second = f"{whole_s}.{rest_us:06}".rstrip("0") if rest_us else str(whole_s)
    parts = [f"{hours:,} h"] if hours else []
    parts += [f"{minutes} min"] if minutes else []
    parts += [f"{second} s"] if second != "0" or not parts else []
    return " ".join(parts)
