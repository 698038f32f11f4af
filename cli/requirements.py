"""`bitacora tickets requirements`: which fields a ticket must have before it is handed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from pydantic_core import to_json

from cli.desk import Desk
from cli.output import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonFlag,
    UsageError,
    print_facts,
    print_json,
    print_table,
    say,
)
from libs.runtime.errors import Poison
from libs.runtime.strict_json import strict_json
from libs.runtime.strict_yaml import strict_yaml

PATH: Final = "/v1/hand-over-requirements"

app = typer.Typer(
    help="Which fields a ticket needs before it is handed over: show, set.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def show(
    *,
    versions: Annotated[bool, typer.Option("--versions", help="Who changed them, when.")] = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="As a file for `set`.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """What a ticket must tell before a person hands it over."""
    if versions + as_yaml + json > 1 and not (versions and json):
        raise UsageError("give one of --versions, --yaml and --json")
    with Desk(data_dir) as desk:
        found = desk.get("intake", f"{PATH}/versions" if versions else PATH)
    if json:
        print_json(found)
    elif versions:
        columns = ["#version", "changed", "by", "#after event", "requires"]
        print_table(columns, [_version(version) for version in found["versions"]])
    elif as_yaml:
        wanted = {"requirements": found["requirements"]}
        typer.echo(yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False), nl=False)
    else:
        _print(found)


@app.command("set")
def set_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML, or JSON (….json).")],
    *,
    actor: Annotated[
        str, typer.Option("--as", metavar="ACTOR", help="Who changes them, such as agent:7.")
    ] = "system",
    if_version: Annotated[
        int | None, typer.Option(min=0, help="Only if this is still the version that holds.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Replace the whole list; it holds for every hand-over from now on."""
    if not (actor.isascii() and actor.isprintable()):
        raise UsageError(f"--as is {actor!r}: write agent:ID in ASCII")
    body = _read(file)
    guard = {} if if_version is None else {"if_match": f'"{if_version}"'}
    with Desk(data_dir) as desk:
        found = desk.put("intake", PATH, body, actor=actor, **guard)
    if json:
        print_json(found)
        return
    say(f"version {found['version']} holds from now on")
    _print(found)


def _read(file: Path) -> bytes:
    """The file's content as JSON; whether it makes sense is the service's to say."""
    read = strict_json if file.suffix == ".json" else strict_yaml
    try:
        return to_json(read(file.read_bytes()))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    except Poison as error:
        raise UsageError(f"{file}: {error.detail}") from None


def _print(found: dict[str, Any]) -> None:
    print_facts(
        [
            ("version", str(found["version"])),
            ("changed", found["changed_at"]),
            ("by", found["changed_by"]),
        ]
    )
    if found["requirements"]:
        print_table(["category", "hand-over", "must have"], list(_rows(found["requirements"])))
    else:
        say("nothing is required")


def _rows(requirements: list[dict[str, Any]]) -> Iterator[list[str]]:
    for entry in requirements:
        category = entry["category"]
        if "fields" in entry:
            yield [category, "every", ", ".join(entry["fields"])]
        for tier, names in entry.get("tiers", {}).items():
            yield [category, f"to tier {tier}", ", ".join(names)]
        for group, names in entry.get("groups", {}).items():
            yield [category, f"to group {group}", ", ".join(names)]


def _version(version: dict[str, Any]) -> list[object]:
    categories = ", ".join(entry["category"] for entry in version["requirements"])
    return [
        version["version"],
        version["changed_at"],
        version["changed_by"],
        version["after_position"],
        categories or "nothing",
    ]
