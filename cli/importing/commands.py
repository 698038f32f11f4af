"""`bitacora import servicenow FILE` and `bitacora import log FILE --mapping MAP.yaml`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from cli.importing.cases import Translator
from cli.importing.client import intake_address
from cli.importing.errors import BadMapping
from cli.importing.event_log import EventLog
from cli.importing.mapping import MappingFile, read_mapping
from cli.importing.run import Options, run_import
from cli.importing.servicenow import ServiceNow
from cli.importing.show import Stages, show
from cli.importing.table import Table
from cli.output import DEFAULT_DATA_DIR, FAILED, DataDir, JsonFlag, complain, print_json

INTERRUPTED = 130

app = typer.Typer(
    help="Bring the history of another system in, with its own times.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(help="The log: a CSV file, plain or gzip.")]
Url = Annotated[
    str | None,
    typer.Option(help="Intake's address. Default: that of the desk that `bitacora up` runs."),
]
First = Annotated[int, typer.Option("--from", min=1, help="Begin with this case of the file.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Import at most this many cases.")]
ActivateOpen = Annotated[
    bool,
    typer.Option(
        "--activate-open", help="Hand tickets that are open at the end of the log to the live desk."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and count only; send nothing.")]
SkipBadRows = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Report broken rows and leave their cases out, instead of stopping at the first.",
    ),
]


@app.command()
def servicenow(
    file: File,
    url: Url = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    first: First = 1,
    limit: Limit = None,
    zone: Annotated[str, typer.Option(help="Time zone of the file's times.")] = "UTC",
    activate_open: ActivateOpen = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Then compare every ticket with the file's last row of it."),
    ] = False,
    dry_run: DryRun = False,
    skip_bad_rows: SkipBadRows = False,
    json: JsonFlag = False,
) -> None:
    """Import the audit log of ServiceNow incidents (one row: an incident after an update).

    Importing a file twice changes nothing; run an interrupted import again and it goes on.

    With --dry-run --check everything is decided and compared in memory.
    """
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise typer.BadParameter(f"no time zone is called {zone!r}", param_hint="--zone") from None
    options = Options(
        url=url,
        first=first,
        limit=limit,
        skip_bad_rows=skip_bad_rows,
        check=check,
    )

    def translator() -> tuple[Table, Translator]:
        table = Table(file)
        return table, ServiceNow(table, zone=zone, activate_open=activate_open)

    _run(translator, options, data_dir, dry_run=dry_run, as_json=json)


@app.command()
def log(
    file: File,
    mapping: Annotated[
        str, typer.Option(help="The mapping file, or the name of one that comes along: helpdesk.")
    ],
    url: Url = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    first: First = 1,
    limit: Limit = None,
    activate_open: ActivateOpen = False,
    dry_run: DryRun = False,
    skip_bad_rows: SkipBadRows = False,
    json: JsonFlag = False,
) -> None:
    """Import any event log in CSV, read as a mapping file says (docs/guides/import.md).

    Importing a file twice changes nothing; run an interrupted import again and it goes on.
    """
    options = Options(url=url, first=first, limit=limit, skip_bad_rows=skip_bad_rows)

    def translator() -> tuple[Table, Translator]:
        how = find_mapping(mapping)
        table = Table(file, how.file.layout())
        return table, EventLog(table, how, activate_open=activate_open)

    _run(translator, options, data_dir, dry_run=dry_run, as_json=json)


def find_mapping(name: str) -> MappingFile:
    """A file of this name, or a mapping that comes along. Raises BadMapping."""
    path = Path(name)
    if path.exists():
        return read_mapping(path)
    bundled = resources.files("cli.importing") / "mappings"
    known = sorted(one.name for one in bundled.iterdir() if one.name.endswith(".yaml"))
    if f"{name}.yaml" not in known:
        names = ", ".join(one.removesuffix(".yaml") for one in known)
        raise BadMapping(f"{name}: no such file, and no mapping that comes along ({names})")
    with resources.as_file(bundled / f"{name}.yaml") as found:
        return read_mapping(found)


def _run(
    make: Callable[[], tuple[Table, Translator]],
    options: Options,
    data_dir: Path,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    url = None if dry_run else intake_address(options.url, data_dir)
    options = replace(options, url=url)
    table, translator = make()
    try:
        with Stages() as stages:
            result = asyncio.run(run_import(table, translator, options, stages))
    except KeyboardInterrupt:
        complain("interrupted; what was answered is kept: run the same import again to go on")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json(result.as_json())
    else:
        show(result)
    if not result.good:
        raise typer.Exit(FAILED)
