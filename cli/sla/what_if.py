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
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="When to judge clocks that still run: not before the last event."
            " Otherwise now by the system's clock; with --events at the last event.",
        ),
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
    if from_us is not None and to_us is not None and from_us > to_us:
        raise UsageError(f"--from {from_} is later than --to {to}: no clock can start in between")
    as_of_us = _instant("--as-of", as_of)
    old, new = _books(
        (policy, calendar or []),
        None if against is None else (against, against_calendar or []),
        data_dir,
        _year(data_dir, events),
    )
    spans = {name: at for name, at in (("from_us", from_us), ("to_us", to_us)) if at is not None}
    made = WhatIf(old, new, **spans)
    unreadable: list[str] = []
    _read(made, data_dir, events, unreadable)
    until_us, until_is = _until(made, data_dir, events, as_of_us)
    changes: list[Change] = []
    changed = 0
    for change in made.changes(until_us):
        changed += 1
        if json or len(changes) < limit:
            changes.append(change)
    if json:
        print_json(_document(made, changes, len(unreadable), until_is))
    else:
        _print(made, changes, changed, until_is)
    _complain(made, unreadable)


def _books(
    new: tuple[Path, list[Path]], against: tuple[Path, list[Path]] | None, data_dir: Path, year: int
) -> tuple[Book, Book]:
    """The old book and the new one; of each a file of policies and files of calendars."""
    from cli.desk import Desk
    from cli.sla.books import Present, book_of_files, built_in, present

    if against is not None:
        old = Present(book_of_files(*against, built_in(), year))
    else:
        with Desk(data_dir) as desk:
            old = present(desk)
    return old.book, book_of_files(*new, old, year)


def _year(data_dir: Path, events: Path | None) -> int:
    """Around which holidays are looked up: the file's, so that the same files give the same figures in
    any year, else the present one."""
    from cli.sla.past import clock_of, first_year

    found = None if events is None else first_year(events)
    return clock_of(data_dir).now().year if found is None else found


def _until(
    made: WhatIf, data_dir: Path, events: Path | None, as_of_us: int | None
) -> tuple[int, str]:
    """The instant up to which clocks run that still do, and what it is: in words. The service's own
    clocks run on while nothing happens, hence its clock and not the last event of a quiet desk."""
    from cli.sla.past import clock_of
    from libs.worktime.instants import to_us

    if as_of_us is not None:
        if as_of_us < made.end_us:
            raise UsageError(
                f"--as-of is before the last event, which was at {_time(made.end_us)}:"
                " give that time or a later one"
            )
        return as_of_us, "as asked"
    if events is not None:
        return made.end_us, "the last event"
    return to_us(clock_of(data_dir).now()), "now by the system's clock"


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
    from libs.worktime.instants import to_us

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


def _print(made: WhatIf, changes: list[Change], changed: int, until_is: str) -> None:
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
    say(f"clocks of live tickets are judged as of {_time(made.as_of_us)} ({until_is})")


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


def _document(
    made: WhatIf, changes: list[Change], unreadable: int, until_is: str
) -> dict[str, Any]:
    from cli.sla.tally import rows_of

    return {
        "tickets": made.tickets,
        "events": made.events,
        "last_event": _time(made.end_us) if made.events else None,
        "as_of": _time(made.as_of_us) if made.events else None,
        "as_of_is": until_is,
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
    from libs.worktime.instants import to_datetime

    return None if instant_us is None else format_time(to_datetime(instant_us))
