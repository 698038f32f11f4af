"""`bitacora tickets`: list tickets, show one as it is or as it was, print its history; and what is
required of them at hand-over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from cli import requirements
from cli.desk import Desk
from cli.output import (
    DEFAULT_DATA_DIR,
    CommandError,
    DataDir,
    JsonFlag,
    UsageError,
    clean,
    print_facts,
    print_json,
    print_table,
)
from libs.events import EventEnvelope, Priority, Status, Ticket, fold, format_time, parse_time

app = typer.Typer(
    help="Tickets: list, show (now, at an instant, at a sequence), history; hand-over.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(requirements.app, name="requirements")

PAGE: Final = 500
TEXT_MAX: Final = 60

Name = Annotated[
    str, typer.Argument(metavar="TICKET", help="Its id, its number, or its imported name.")
]


@app.command("list")
def list_tickets(
    *,
    status: Annotated[Status | None, typer.Option(help="Only of this status.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Only of this priority.")] = None,
    group: Annotated[str | None, typer.Option(help="Only of this group.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    search: Annotated[str | None, typer.Option(help="Only with this in the subject.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """List tickets, newest first."""
    wanted = {
        "status": status and status.value,
        "priority": priority and priority.value,
        "group": group,
        "agent": agent,
        "category": category,
        "q": search,
    }
    with Desk(data_dir) as desk:
        found = _pages(desk, wanted, limit)
    if json:
        print_json({"tickets": found})
        return
    columns = ["#number", "status", "priority", "group", "agent", "created", "subject"]
    print_table(columns, [_row(ticket) for ticket in found])


def _pages(desk: Desk, wanted: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(found) < limit:
        size = min(PAGE, limit - len(found))
        page = desk.get("reporting", "/v1/tickets", limit=size, cursor=cursor, **wanted)
        found += page["tickets"]
        cursor = page["next"]
        if cursor is None:
            break
    return found


def _row(ticket: dict[str, Any]) -> list[object]:
    return [
        ticket["number"],
        ticket["status"],
        ticket["priority"],
        ticket["group"],
        ticket.get("agent_name") or ticket["agent"],
        str(ticket["created_at"] or "")[:16].replace("T", " "),
        _short(str(ticket["subject"])),
    ]


@app.command()
def show(
    ticket: Name,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT", help="As it was then, for example 2016-03-01T09:00:00+01:00."
        ),
    ] = None,
    sequence: Annotated[
        int | None, typer.Option(min=1, help="As it was after its Nth event.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Show a ticket: the fold of its history, the whole or up to a point."""
    if at is not None and sequence is not None:
        raise UsageError("give --at or --sequence, not both")
    until = None if at is None else _instant(at)
    with Desk(data_dir) as desk:
        ticket_id = desk.ticket_id(ticket)
        history = desk.history(ticket_id)
    taken = up_to(history, at=until, sequence=sequence)
    state = fold(taken)
    if state is None:
        raise CommandError(_too_early(history, at, sequence))
    if json:
        print_json({"ticket": as_json(state), "events": len(history)})
        return
    _print_ticket(state, len(history))


@app.command()
def history(ticket: Name, *, data_dir: DataDir = DEFAULT_DATA_DIR, json: JsonFlag = False) -> None:
    """Everything that happened to a ticket, in order."""
    with Desk(data_dir) as desk:
        ticket_id = desk.ticket_id(ticket)
        if json:
            print_json(desk.get("intake", f"/v1/tickets/{ticket_id}/history"))
            return
        events = desk.history(ticket_id)
    rows = [
        [
            envelope.sequence,
            format_time(envelope.time),
            envelope.type.split(".")[1],
            envelope.actor,
            _what(envelope),
        ]
        for envelope in events
    ]
    print_table(["#", "time", "event", "by", "what"], rows)


def up_to(
    history: Sequence[EventEnvelope], *, at: datetime | None = None, sequence: int | None = None
) -> list[EventEnvelope]:
    """The beginning of a history: until the first event after `at`, or through `sequence`.

    Imported histories may step back in time; what was recorded after a later event does not count,
    so the answer is always a state that the ticket was really in.
    """
    taken = []
    for envelope in history:
        if at is not None and envelope.time > at:
            break
        if sequence is not None and envelope.sequence > sequence:
            break
        taken.append(envelope)
    return taken


def as_json(state: Ticket) -> dict[str, Any]:
    """The ticket's fields, its tags in order."""
    document = {field.name: getattr(state, field.name) for field in fields(state)}
    document["tags"] = sorted(state.tags)
    return document


def _instant(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise UsageError(
            f"--at is {text!r}: give a time with its zone, such as 2016-03-01T09:00:00Z"
        ) from None


def _too_early(history: Sequence[EventEnvelope], at: str | None, sequence: int | None) -> str:
    if at is not None and history:
        return f"the ticket did not exist at {at}: it began at {format_time(history[0].time)}"
    return f"the ticket has no event {sequence}" if sequence else "the ticket has no events"


def _print_ticket(state: Ticket, events: int) -> None:
    requester = state.requester
    facts: list[tuple[str, object]] = [
        ("ticket", f"#{state.number}  {state.id}"),
        ("as of", f"event {state.sequence} of {events}, {_time(state.updated_at)}"),
        ("subject", state.subject),
        ("status", f"{state.status}" + (f" ({state.substatus})" if state.substatus else "")),
        ("priority", state.priority),
        ("category", " / ".join(filter(None, (state.category, state.subcategory)))),
        ("group", state.group),
        ("agent", state.agent),
        ("tier", state.tier),
        ("requester", requester and " ".join(filter(None, (requester.id, requester.name)))),
        ("channel", state.channel),
        ("language", state.language),
        ("tags", ", ".join(sorted(state.tags))),
        *((f"  {name}", value) for name, value in sorted(state.custom_fields.items())),
        ("created", _time(state.created_at)),
        ("first reply", _time(state.first_replied_at)),
        ("solved", _time(state.solved_at)),
        ("closed", _time(state.closed_at)),
        ("replies", state.public_replies),
        ("reopened", state.reopens),
        ("group changes", state.group_changes),
        ("escalations", state.escalations),
        ("imported", " ".join(filter(None, (state.imported_from, state.external_ref)))),
    ]
    print_facts(facts)


def _time(instant: datetime | None) -> str:
    return "" if instant is None else format_time(instant)


def _what(envelope: EventEnvelope) -> str:
    """The event's fields in one short line."""
    event = envelope.event
    if not hasattr(event, "model_dump"):
        return "(of a type that this version does not know)"
    values = event.model_dump(mode="json", exclude_defaults=True)
    parts = [f"{name}={_short(str(value))}" for name, value in values.items() if value is not None]
    return " ".join(parts)


def _short(text: str) -> str:
    line = clean(text)
    return line if len(line) <= TEXT_MAX else f"{line[: TEXT_MAX - 1]}…"
