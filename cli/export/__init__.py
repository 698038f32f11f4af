"""`bitacora export`: the stream as Parquet files for data teams, and the proof that it is all there."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError

from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    CommandError,
    DataDir,
    JsonFlag,
    NotRunning,
    UsageError,
    print_facts,
    print_json,
    print_table,
    progress,
    say,
)
from libs.events import topics

app = typer.Typer(
    help="Events, tickets and facts as Parquet files; check an export.",
    no_args_is_help=True,
    add_completion=False,
)

EXPORTED: Final = tuple(topic.name for topic in topics.TOPICS if topic.owner != "anybody")
"""The topics of events; what anybody writes to are requests."""
FOLDER: Final = "export"


@app.command()
def parquet(
    *,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to; DATA-DIR/export without it.", file_okay=False),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this topic; may be given more than once. All event topics without it."
        ),
    ] = None,
    first_day: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only events that happened on this day (UTC) or later."),
    ] = None,
    last_day: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only events that happened on this day (UTC) or before."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Export the events as Parquet, a folder per topic and day, and the tickets as they are now.

    Run it again to add what is new. Exit status 1 when events of a stream are missing on a topic.
    """
    from cli.export.layout import Selection  # Parquet's library takes a while to load
    from cli.export.run import export
    from libs.runtime.errors import Transient

    wanted = Selection(_topics(topic), _day(first_day), _day(last_day))
    if wanted.first_day and wanted.last_day and wanted.first_day > wanted.last_day:
        raise UsageError(f"--first-day {first_day} is after --last-day {last_day}")
    folder, bootstrap = to or data_dir / FOLDER, _bootstrap(data_dir)
    try:
        with progress("exporting") as tick:
            report = asyncio.run(export(bootstrap, folder, wanted, progress=tick))
    except KafkaError as error:
        raise _unreachable(bootstrap, error) from None
    except (OSError, Transient) as error:
        reason = error.detail if isinstance(error, Transient) else str(error)
        raise CommandError(
            f"cannot write to {folder}: {reason}. What was finished is kept: mend it and run again"
        ) from None
    if json:
        print_json(_as_json(folder, report))
    else:
        _print(folder, report)
    if report.waiting:
        raise typer.Exit(FAILED)


@app.command()
def facts(
    *,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to; DATA-DIR/export without it.", file_okay=False),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Export reporting's fact tables as Parquet, a folder per table and day, all of one state.

    Needs reporting's database, not Kafka; the service may run meanwhile. Run it again to write the days that
    have changed.
    """
    from cli.export.facts import export_facts
    from cli.system import database_url
    from libs.runtime.errors import Transient
    from services.reporting.config import ReportingSettings

    folder = to or data_dir / FOLDER
    address = database_url("reporting", data_dir)
    calendar = ReportingSettings(data_dir=data_dir).calendar
    try:
        with progress("exporting facts") as tick:
            report = export_facts(address, folder, tick, calendar=calendar)
    except (OSError, Transient) as error:
        reason = error.detail if isinstance(error, Transient) else str(error)
        raise CommandError(
            f"the facts cannot be exported to {folder}: {reason}. What was there is kept: mend it and "
            "run again"
        ) from None
    manifest = report.manifest
    rows: dict[str, int] = {}
    for part in manifest.files:
        rows[part.table] = rows.get(part.table, 0) + part.rows
    if json:
        print_json(
            {
                "folder": folder,
                "revision": manifest.revision,
                "recorded_time": manifest.recorded_time,
                "rows": rows,
                "files": len(manifest.files),
                "written": report.days,
                "removed": report.removed,
            }
        )
        return
    print_table(("table", "#rows"), [(name, f"{count:,}") for name, count in rows.items()])
    say(
        f"{report.days:,} files written, {report.removed:,} removed; {folder} holds the facts up to "
        f"{manifest.recorded_time or 'nothing'} in {len(manifest.files):,} files"
    )


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The export.", file_okay=False)],
    *,
    topics_too: Annotated[
        bool, typer.Option("--topics", help="Also compare with the topics, event by event.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Check that an export is whole and unchanged, and holds every event once.

    Exit status 1 when it is not.
    """
    from cli.export.verify import verify_files, verify_topics

    try:
        with progress("checking the files") as tick:
            verdict = verify_files(folder, tick)
    except OSError as error:
        raise CommandError(f"{folder} cannot be read: {error}") from None
    if topics_too:
        bootstrap = _bootstrap(data_dir)
        try:
            with progress("reading the topics") as tick:
                asyncio.run(verify_topics(folder, bootstrap, verdict, tick))
        except (KafkaError, OSError) as error:
            raise _unreachable(bootstrap, error) from None
    if json:
        print_json({"ok": verdict.ok, **asdict(verdict)})
    else:
        compared = verdict.compared
        print_facts(
            [
                ("files", f"{verdict.files:,}"),
                ("events", f"{verdict.events:,}"),
                ("tickets", f"{verdict.tickets:,}"),
                ("rows of facts", f"{verdict.facts:,}" if verdict.facts else None),
                ("compared with the topics", None if compared is None else f"{compared:,} events"),
            ]
        )
        for line in (*verdict.notes, *verdict.problems):
            say(line)
        say("the export is whole" if verdict.ok else "the export is NOT whole")
    if not verdict.ok:
        raise typer.Exit(FAILED)


def _topics(names: list[str] | None) -> tuple[str, ...]:
    for name in names or ():
        if name not in EXPORTED:
            raise UsageError(f"there is no event topic {name!r}; there are {', '.join(EXPORTED)}")
    return tuple(name for name in EXPORTED if not names or name in names)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a day: give one such as 2026-03-02") from None


def _bootstrap(data_dir: Path) -> str:
    from libs.runtime.runstate import read_run
    from libs.runtime.settings import settings_of

    state = read_run(data_dir)
    if state is not None:
        return state.bootstrap
    return settings_of("reporting", data_dir=data_dir).kafka_bootstrap_servers


def _unreachable(bootstrap: str, error: Exception) -> NotRunning:
    return NotRunning(
        f"Kafka at {bootstrap} cannot be read ({error}): start the system with `bitacora up`, "
        "or set BITACORA_KAFKA_BOOTSTRAP_SERVERS"
    )


def _as_json(folder: Path, report: Any) -> dict[str, Any]:
    manifest = report.manifest
    return {
        "folder": folder,
        "new_events": report.new_events,
        "new_files": report.new_files,
        "records": report.records,
        "topics": {name: asdict(count) for name, count in manifest.topics.items()},
        "files": len(manifest.files),
        "tickets": manifest.tickets and manifest.tickets.rows,
        "problems": report.problems,
    }


def _print(folder: Path, report: Any) -> None:
    columns = ("topic", "#exported", "#other days", "#came again", "#no events", "#held back")
    counts = report.manifest.topics.items()
    rows = [
        (n, f"{c.exported:,}", f"{c.outside:,}", f"{c.duplicates:,}", c.malformed, c.waiting)
        for n, c in counts
    ]
    print_table(columns, rows)
    for problem in report.problems:
        say(problem)
    tickets = report.manifest.tickets
    say(
        f"{report.new_events:,} new events in {report.new_files:,} new files; {folder} holds "
        f"{len(report.manifest.files):,} files" + (f", {tickets.rows:,} tickets" if tickets else "")
    )
    if report.waiting:
        say(
            f"{report.waiting:,} events are held back: earlier ones of their stream are missing on "
            "the topic; `bitacora verify` says more"
        )
