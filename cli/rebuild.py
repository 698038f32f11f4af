"""`bitacora rebuild reporting`: read models from zero, compared with the live ones, switched if asked."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError

from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    DataDir,
    JsonFlag,
    NotRunning,
    print_json,
    print_table,
    progress,
    say,
)
from cli.rebuild_facts import facts
from cli.system import database_url
from libs.runtime.runstate import read_run
from libs.runtime.settings import settings_of
from services.reporting.compare import TableDifference
from services.reporting.rebuild import RebuildReport, rebuild

app = typer.Typer(help="Make read models anew from the topics.", no_args_is_help=True)


app.command()(facts)


@app.callback()
def _group() -> None:
    """Make read models anew from the topics."""


@app.command()
def reporting(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put the rebuilt rows into the live tables."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Rebuild reporting's tables from the topics and compare them with the live ones.

    The service may run meanwhile. Exit status 1 when a row or a figure differs.
    """
    state = read_run(data_dir)
    bootstrap = (
        state.bootstrap
        if state is not None
        else settings_of("reporting", data_dir=data_dir).kafka_bootstrap_servers
    )
    address = database_url("reporting", data_dir)
    try:
        with progress("rebuilding reporting") as tick:
            report = asyncio.run(rebuild(address, bootstrap, replace=replace, progress=tick))
    except (KafkaError, OSError) as error:
        raise NotRunning(
            f"Kafka at {bootstrap} cannot be read ({error}): start the system with `bitacora up`, "
            "or set BITACORA_KAFKA_BOOTSTRAP_SERVERS"
        ) from None
    if as_json:
        print_json(as_document(report))
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(FAILED)


def _of_facts(table: TableDifference) -> TableDifference:
    return replace(table, table=f"facts: {table.table}")


def as_document(report: RebuildReport) -> dict[str, Any]:
    """The report as one JSON object."""
    tables, facts = (
        [{**asdict(table), "equal": table.equal} for table in compared]
        for compared in (report.tables, report.facts)
    )
    return {"ok": report.ok, **asdict(report), "tables": tables, "facts": facts}


def _print(report: RebuildReport) -> None:
    columns = ("table", "#live", "#rebuilt", "#missing", "#extra", "#different", "equal")
    rows = [
        (
            t.table,
            f"{t.live_rows:,}",
            f"{t.rebuilt_rows:,}",
            t.missing,
            t.extra,
            t.different,
            "yes" if t.equal else "NO",
        )
        for t in (*report.tables, *(_of_facts(table) for table in report.facts))
    ]
    print_table(columns, rows)
    for table in (*report.tables, *report.facts):
        for example in table.examples:
            say(f"{table.table} {example}")
    for figure in report.figures:
        say(f"figure {figure}")
    say(
        f"{report.events:,} events in {report.seconds:.1f} s "
        f"({report.events_per_second:,} per second, comparison included); "
        f"{report.behind:,} more lie on the topics that the live tables have not applied yet"
    )
    if report.parked:
        say(f"{report.parked:,} messages could not be applied: see `bitacora parked list`")
    verdict = "every row and figure is equal" if report.ok else "rows or figures DIFFER"
    switched = f"; the rebuilt rows are live (the consumer waited {report.held_s:.1f} s)"
    say(verdict + (switched if report.replaced else ""))
