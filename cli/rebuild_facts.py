"""`bitacora rebuild facts`: the fact tables made anew from the histories, compared, switched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    CommandError,
    DataDir,
    JsonFlag,
    NotRunning,
    print_json,
    print_table,
    progress,
    say,
)
from cli.system import database_url
from libs.runtime.runstate import read_run

ASK_S: Final = 0.5
SILENT_S_MAX: Final = 60.0
TIMEOUT_S: Final = 20.0

Url = Annotated[
    str | None, typer.Option("--url", help="Reporting's address, when it runs elsewhere.")
]


def facts(data_dir: DataDir = DEFAULT_DATA_DIR, url: Url = None, as_json: JsonFlag = False) -> None:
    """Make the fact tables anew beside the live ones, compare every row and figure, and switch.

    A running service does it itself and serves meanwhile; without one it is done here, on its files.
    Exit status 1 when a row or a figure differed (it is right afterwards).
    """
    state = read_run(data_dir)
    address = url or (state.urls.get("reporting") if state is not None else None)
    report = _by_the_service(address) if address else _here(data_dir)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report["state"] == "failed":
        raise CommandError(f"the facts were not made anew: {report['error']}")
    if not report["ok"]:
        raise typer.Exit(FAILED)


def _by_the_service(address: str) -> dict[str, Any]:
    where = f"{address.rstrip('/')}/v1/facts/rebuild"
    with httpx.Client(timeout=TIMEOUT_S) as client, progress("making facts") as tick:
        report, silent_s = _ask(client, "POST", where), 0.0
        while report["state"] == "running":
            time.sleep(ASK_S)
            try:
                report, silent_s = _ask(client, "GET", where), 0.0
            except NotRunning:
                silent_s += ASK_S
                if silent_s > SILENT_S_MAX:
                    raise
                continue
            tick(report["done"], max(report["total"], report["done"]))
        if report["state"] == "never":
            raise CommandError("the service was started anew meanwhile; its facts are as before")
    return report


def _ask(client: httpx.Client, method: str, where: str) -> dict[str, Any]:
    try:
        answer = client.request(method, where)
    except httpx.HTTPError as error:
        raise NotRunning(f"reporting at {where} does not answer: {error}") from None
    if answer.status_code == httpx.codes.CONFLICT and method == "POST":
        say("a rebuild is on its way already; this is how far it is")
        return _ask(client, "GET", where)
    if answer.is_error:
        raise CommandError(f"reporting refused: {answer.text[:300]}")
    return dict(answer.json())


def _here(data_dir: Path) -> dict[str, Any]:
    """On the files of a service that does not run."""
    from libs.runtime.database import Database
    from libs.runtime.errors import Failure
    from services.reporting.config import ReportingSettings
    from services.reporting.facts.facts import Facts
    from services.reporting.facts.rebuilding import FactsRebuild, rebuild_facts
    from services.reporting.views import fresh_metadata

    settings = ReportingSettings(
        data_dir=data_dir, database_url=database_url("reporting", data_dir)
    )
    database = Database(settings.database_url)
    facts = Facts(
        database,
        settings.facts_place(),
        clock=settings.make_clock(),
        memory_mb=settings.facts_memory_mb,
        calendar=settings.calendar,
    )
    report = FactsRebuild()
    try:
        database.create(fresh_metadata())
        with progress("making facts") as tick:
            facts.refresh()
            rebuild_facts(facts, settings.make_clock(), report, tick)
    except Failure as error:
        if error.code == "facts_file_busy":
            raise CommandError(f"{error.detail} (is the service running? give its --url)") from None
        report.state, report.error = "failed", error.detail
    finally:
        facts.close()
        database.close()
    return report.document()


def _print(report: dict[str, Any]) -> None:
    columns = ("facts", "#live", "#rebuilt", "#missing", "#extra", "#different", "equal")
    rows = [
        (
            table["table"],
            f"{table['live_rows']:,}",
            f"{table['rebuilt_rows']:,}",
            table["missing"],
            table["extra"],
            table["different"],
            "yes" if table["equal"] else "NO",
        )
        for table in report["tables"]
    ]
    print_table(columns, rows)
    for table in report["tables"]:
        for example in table["examples"]:
            say(example)
    for figure in report["figures"]:
        say(f"figure {figure}")
    if report["state"] == "done":
        verdict = "every row and figure was equal" if report["ok"] else "rows or figures DIFFERED"
        say(
            f"{report['done']:,} events of tickets in {report['seconds']:.1f} s;"
            f" {report['questions']} questions put to both; {verdict}; the new facts are live"
        )
