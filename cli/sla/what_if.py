"""`bitacora sla what-if`: real history under other policies, beside the present ones."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.output import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonFlag,
    Ticker,
    UsageError,
    print_json,
    print_table,
    progress,
    say,
)
from libs.events import format_time, parse_time

if TYPE_CHECKING:
    from cli.sla.tally import Cell, Change, WhatIf
    from services.sla.domain.book import Book

UNREADABLE_SHOWN: Final = 5


def what_if(
    *,
    policy: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The policies to try, as PUT /v1/policies takes them."),
    ],
    calendar: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A calendar that they use; others are the present ones."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHEN",
            help="Only clocks that started then or later: a date or instant.",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only clocks that started before.")
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The history as JSON lines, instead of Kafka's."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Compare with these policies, not with the present ones."
        ),
    ] = None,
    against_calendar: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A calendar that those use.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many changed verdicts to list.")] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Replay real history under other policies: attainment before and after, and whose verdict changes.

    Nothing is changed and nobody is told. The history comes from Kafka, the present policies from the
    SLA service; with --events and --against nothing needs to run. With --json every change is listed.
    """
    from cli.sla.tally import WhatIf

    if against_calendar and against is None:
        raise UsageError("--against-calendar goes with --against")
    from_us, to_us = _instant("--from", from_), _instant("--to", to)
    old = _old(data_dir, against, against_calendar or [])
    new = _new(policy, calendar or [], old)
    spans = {name: at for name, at in (("from_us", from_us), ("to_us", to_us)) if at is not None}
    made = WhatIf(old, new, **spans)
    unreadable: list[str] = []
    _read(made, data_dir, events, unreadable)
    changes: list[Change] = []
    changed = 0
    for change in made.changes():
        changed += 1
        if json or len(changes) < limit:
            changes.append(change)
    if json:
        print_json(_document(made, changes, len(unreadable)))
    else:
        _print(made, changes, changed)
    _complain(made, unreadable)


def _old(data_dir: Path, against: Path | None, calendars: list[Path]) -> Book:
    from cli.sla.books import book_of_files, built_in, present_book

    if against is not None:
        return book_of_files(against, calendars, built_in())
    from cli.desk import Desk

    with Desk(data_dir) as desk:
        return present_book(desk)


def _new(policy: Path, calendars: list[Path], old: Book) -> Book:
    from cli.sla.books import book_of_files

    return book_of_files(policy, calendars, old.calendars)


def _read(made: WhatIf, data_dir: Path, events: Path | None, unreadable: list[str]) -> None:
    from cli.sla.past import from_file, from_kafka

    async def replay_topic(tick: Ticker) -> None:
        async for batch in from_kafka(data_dir, unreadable.append, tick):
            made.apply(*batch)

    with progress("replaying") as tick:
        if events is None:
            asyncio.run(replay_topic(tick))
        else:
            for batch in from_file(events, tick):
                made.apply(*batch)


def _instant(option: str, text: str | None) -> int | None:
    from services.sla.domain.instants import to_us

    if text is None:
        return None
    try:
        if len(text) == len("2026-03-01"):
            return to_us(datetime.combine(date.fromisoformat(text), time(), UTC))
        return to_us(parse_time(text))
    except ValueError:
        raise UsageError(
            f"{option} is {text!r}: give a date such as 2026-03-01 (in UTC), or a time with its zone,"
            " such as 2026-03-01T09:00:00+01:00"
        ) from None


# ---- what comes out ----------------------------------------------------------------------------


def _print(made: WhatIf, changes: list[Change], changed: int) -> None:
    from cli.sla.tally import rows_of

    rows = [
        [metric, priority, *_figures(old), *_figures(new), _difference(old, new)]
        for metric, priority, old, new in rows_of(made)
    ]
    columns = ["metric", "priority", "#kept", "#missed", "#running", "#attained"]
    columns += ["#new kept", "#missed", "#running", "#attained", "#points"]
    print_table(columns, rows)
    if changes:
        shown = [
            [
                one.number,
                one.name,
                one.metric if one.activation == 1 else f"{one.metric} {one.activation}",
                one.priority,
                f"{one.old} → {one.new}",
                _time(one.old_breach_us),
                _time(one.new_breach_us),
            ]
            for one in changes
        ]
        print_table(
            ["#ticket", "name", "clock", "priority", "verdict", "missed at", "new missed at"],
            shown,
            title="\nchanged verdicts",
        )
    hidden = changed - len(changes)
    more = f" ({hidden:,} more: --limit, or --json for all)" if hidden else ""
    say(
        f"{made.tickets:,} tickets, {made.events:,} events up to {_time(made.end_us)};"
        f" {changed:,} clocks have another verdict{more}"
    )


def _figures(cell: Cell) -> list[object]:
    share = cell.attainment
    return [
        f"{cell.counts.get('kept', 0):,}",
        f"{cell.counts.get('missed', 0):,}",
        f"{cell.counts.get('running', 0):,}",
        "–" if share is None else f"{share:.1%}",
    ]


def _difference(old: Cell, new: Cell) -> str:
    if old.attainment is None or new.attainment is None:
        return ""
    return f"{100 * (new.attainment - old.attainment):+.1f}"


def _document(made: WhatIf, changes: list[Change], unreadable: int) -> dict[str, Any]:
    from cli.sla.tally import rows_of

    return {
        "tickets": made.tickets,
        "events": made.events,
        "as_of": _time(made.end_us) if made.events else None,
        "unreadable": unreadable,
        "without_beginning": made.headless,
        "attainment": [
            {
                "metric": metric,
                "priority": priority,
                **{
                    name: {**dict(sorted(cell.counts.items())), "attainment": cell.attainment}
                    for name, cell in (("old", old), ("new", new))
                },
            }
            for metric, priority, old, new in rows_of(made)
        ],
        "changed": len(changes),
        "changes": [
            {
                "ticket_id": one.ticket_id,
                "number": one.number,
                "name": one.name or None,
                "metric": one.metric,
                "activation": one.activation,
                "priority": one.priority,
                "old": one.old,
                "new": one.new,
                "old_breached_at": _time(one.old_breach_us),
                "new_breached_at": _time(one.new_breach_us),
            }
            for one in changes
        ],
    }


def _complain(made: WhatIf, unreadable: list[str]) -> None:
    if unreadable:
        say(f"{len(unreadable):,} message(s) could not be read and were left out:")
        for text in unreadable[:UNREADABLE_SHOWN]:
            say(f"  {text}")
    if made.headless:
        say(
            f"{made.headless:,} events of tickets whose creation is not in the history were left out"
        )


def _time(instant_us: int | None) -> str | None:
    from services.sla.domain.instants import to_datetime

    return None if instant_us is None else format_time(to_datetime(instant_us))
