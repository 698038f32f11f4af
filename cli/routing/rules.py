"""`bitacora routing rules`: the rules by which tickets are routed: show, check, set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import typer

from cli.desk import Desk
from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    DataDir,
    JsonFlag,
    UsageError,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from services.routing.domain.rule_check import Finding
    from services.routing.domain.rules import RoutingRules

PATH: Final = "/v1/rules"
File = Annotated[Path, typer.Argument(metavar="FILE", help="The rule set, in YAML or JSON.")]

app = typer.Typer(
    help="The rules by which tickets are routed: show, check, set.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def show(
    *,
    version: Annotated[
        int | None, typer.Option(min=0, help="That version; 0: the built-in defaults.")
    ] = None,
    versions: Annotated[bool, typer.Option("--versions", help="Who changed them, when.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """The rules in force, as YAML that `set` takes."""
    if versions and version is not None:
        raise UsageError("give one of --version and --versions")
    with Desk(data_dir) as desk:
        if versions:
            found = desk.get("routing", f"{PATH}/versions")
        else:
            found = desk.get("routing", PATH, version=version)
    if json:
        print_json(found)
    elif versions:
        rows = [[v["version"], v["since"], v["actor"], v["note"]] for v in found["versions"]]
        print_table(["#version", "since", "by", "note"], rows)
    else:
        from services.routing.rules_file import rules_text

        say(_in_force(found))
        typer.echo(rules_text(found["rules"]), nl=False)


@app.command("check")
def check_(
    file: File,
    *,
    agents: Annotated[
        bool, typer.Option("--agents", help="Also against the agents of the running desk.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """What is wrong or odd about a rule set; changes nothing, and needs nothing that runs."""
    rules, findings = _read(file)
    found = [asdict(finding) for finding in findings]
    if agents and rules is not None:
        with Desk(data_dir) as desk:
            found = _put(desk, rules, {"dry_run": "true"}, actor="system")["findings"]
    valid = not any(finding["level"] == "error" for finding in found)
    if json:
        print_json({"valid": valid, "findings": found})
    else:
        _print(found)
        if rules is not None and valid:
            say(
                f"{file}: no errors (queues: {len(rules.queues)}, skill rules: {len(rules.skills)})"
            )
    if not valid:
        raise typer.Exit(FAILED)


@app.command("set")
def set_(
    file: File,
    *,
    actor: Annotated[
        str, typer.Option("--as", metavar="ACTOR", help="Who changes them, such as agent:7.")
    ] = "system",
    note: Annotated[str | None, typer.Option(help="Why, for whoever looks later.")] = None,
    if_version: Annotated[
        int | None, typer.Option(min=0, help="Only if this is still the version in force.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Replace the whole rule set; tickets that wait are routed by it at once."""
    if not (actor.isascii() and actor.isprintable()):
        raise UsageError(f"--as is {actor!r}: write agent:ID in ASCII")
    rules, findings = _read(file)
    if rules is None or any(finding.level == "error" for finding in findings):
        found = [asdict(finding) for finding in findings]
        if json:
            print_json({"valid": False, "findings": found})
        else:
            _print(found)
            say("nothing was changed")
        raise typer.Exit(FAILED)
    query = {} if note is None else {"note": note}
    guard = {} if if_version is None else {"if_match": f'"{if_version}"'}
    with Desk(data_dir) as desk:
        made = _put(desk, rules, query, actor=actor, **guard)
    if json:
        print_json(made)
    else:
        _print(made["findings"])
        say(_in_force(made))


def _read(file: Path) -> tuple[RoutingRules | None, list[Finding]]:
    """The rules in the file, if it holds any, and what the document alone shows."""
    from services.routing.domain.rule_check import check
    from services.routing.domain.rule_text import InvalidRules
    from services.routing.rules_file import parse_rules

    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    try:
        rules = parse_rules(text)
    except InvalidRules as invalid:
        return None, invalid.findings
    return rules, check(rules)


def _put(
    desk: Desk, rules: RoutingRules, query: Mapping[str, str], *, actor: str, **headers: str
) -> Any:
    path = f"{PATH}?{urlencode(query)}" if query else PATH
    return desk.put("routing", path, rules.model_dump_json().encode(), actor=actor, **headers)


def _in_force(found: Mapping[str, Any]) -> str:
    if found["since"] is None:
        return "version 0: the built-in defaults"
    note = f": {found['note']}" if found["note"] else ""
    return f"version {found['version']}, since {found['since']}, by {found['actor']}{note}"


def _print(findings: Sequence[Mapping[str, Any]]) -> None:
    if findings:
        rows = [[f["level"], f["code"], f["path"], f["message"]] for f in findings]
        print_table(["level", "code", "where", "what"], rows)
