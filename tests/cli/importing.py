"""What the tests of the importer share: small files, and an import without a network."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from cli.importing.cases import Translator, cases, survey
from cli.importing.changes import Command
from cli.importing.event_log import EventLog
from cli.importing.mapping import read_mapping
from cli.importing.servicenow import ServiceNow
from cli.importing.table import Table

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data" / "incident_sample.csv.gz"
REAL_DATA = Path(os.environ.get("BITACORA_TEST_DATA", ROOT.parent / "shared" / "data"))
"""Where the whole logs lie, on machines that have them."""

with gzip.open(SAMPLE, "rt", encoding="utf-8") as _sample:
    COLUMNS = next(csv.reader(_sample))

FIRST = {
    "number": "INC1",
    "incident_state": "New",
    "active": "true",
    "reassignment_count": "0",
    "reopen_count": "0",
    "sys_mod_count": "0",
    "made_sla": "true",
    "caller_id": "Caller 1",
    "opened_at": "29/2/2016 01:16",
    "sys_updated_at": "29/2/2016 01:23",
    "contact_type": "Phone",
    "category": "Category 5",
    "subcategory": "Subcategory 7",
    "impact": "2 - Medium",
    "priority": "3 - Moderate",
    "assignment_group": "Group 1",
}
"""The first row of an incident; what is not named is `?`."""


class Quiet:
    """A progress that nobody sees."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, total: int | None) -> None:
        """Nothing."""

    def at(self, done: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        self.notes.append(text)


def incident(*changes: dict[str, str], **first: str) -> list[dict[str, str]]:
    """Rows of one incident: each like the one before, but for what is named."""
    rows = [dict.fromkeys(COLUMNS, "?") | FIRST | first]
    for change in changes:
        rows.append(rows[-1] | change)
    return rows


def csv_text(rows: Sequence[dict[str, str]], delimiter: str = ",") -> str:
    out = StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def servicenow(path: Path, **options: Any) -> tuple[Table, ServiceNow]:
    table = Table(path)
    return table, ServiceNow(table, **options)


def event_log(path: Path, mapping: dict[str, Any], **options: Any) -> tuple[Table, EventLog]:
    how = path.with_suffix(".mapping.yaml")
    how.write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")
    read = read_mapping(how)
    table = Table(path, read.file.layout())
    return table, EventLog(table, read, **options)


def translate(
    table: Table, translator: Translator, *, skip_bad_rows: bool = False
) -> dict[str, list[Command]]:
    """The commands of every case."""
    found = survey(table, translator, skip_bad_rows=skip_bad_rows, progress=lambda _: None)
    return {case: translator.commands(case, rows) for case, rows in cases(table, translator, found)}


def said(commands: list[Command]) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Kind, time and data of each command, without what is None."""
    return [
        (
            command["type"],
            command.get("time"),
            {name: value for name, value in command["data"].items() if value is not None},
        )
        for command in commands
    ]
