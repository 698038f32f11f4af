"""`bitacora schemas`: the JSON Schemas of every event and command."""

from __future__ import annotations

import json as json_format
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

import typer

import libs.events
from cli.output import JsonFlag, UsageError, print_json, print_table

DIRECTORY: Final = Path(libs.events.__file__).parent / "schemas"


def schemas(
    name: Annotated[
        str | None,
        typer.Argument(help="A type, such as TicketCreated or bitacora.TicketCreated.v1."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the types of events and commands, or print the JSON Schema of one."""
    if name is not None:
        sys.stdout.write(_path_of(name).read_text(encoding="utf-8").rstrip("\n") + "\n")
        return
    known = {path.stem: _read(path) for path in _files()}
    if json:
        print_json(known)
        return
    rows = [[name, schema["x-bitacora-kind"], _summary(schema)] for name, schema in known.items()]
    print_table(["type", "kind", "what it says"], rows)


def _files() -> list[Path]:
    return sorted(path for path in DIRECTORY.glob("*.json") if path.stem.startswith("bitacora."))


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json_format.loads(path.read_text(encoding="utf-8"))
    return document


def _summary(schema: dict[str, Any]) -> str:
    text = str(schema.get("description", "")).split("\n\n")[0].replace("\n", " ")
    return text.split(". ")[0].rstrip(".")


def _path_of(name: str) -> Path:
    """The schema of a type by its full name, or by its short name in the newest version."""
    found = [path for path in _files() if name in (path.stem, path.stem.split(".")[1])]
    if found:
        return max(found, key=lambda path: int(path.stem.rpartition(".v")[2]))
    short = [path.stem.split(".")[1] for path in _files()]
    near = get_close_matches(name, short, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"there is no type {name!r}{hint} `bitacora schemas` lists all")
