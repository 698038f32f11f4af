"""`bitacora routing agents`: list, show, load a roster, set a presence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer
from pydantic_core import to_json

from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    OK,
    USAGE,
    CommandError,
    DataDir,
    JsonFlag,
    NotRunning,
    UsageError,
    complain,
    print_facts,
    print_json,
    print_table,
    progress,
    say,
)

if TYPE_CHECKING:
    from cli.desk import Desk

PATH: Final = "/v1/agents"
PAGE: Final = 1_000
PROBLEMS_MAX: Final = 20

app = typer.Typer(
    help="The agents: list, show, load a roster, set a presence.",
    no_args_is_help=True,
    add_completion=False,
)

Actor = Annotated[str, typer.Option("--as", metavar="ACTOR", help="Who does it, e.g. agent:7.")]
AgentId = Annotated[str, typer.Argument(metavar="ID", help="The agent's id.")]


class PresenceName(StrEnum):
    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


@app.command("list")
def list_(
    *,
    group: Annotated[str | None, typer.Option(help="Only of this group.")] = None,
    on_duty: Annotated[bool, typer.Option("--on-duty", help="Only who gets work now.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """The agents who have not left, with their load."""
    from cli.desk import Desk

    with Desk(data_dir) as desk:
        found = [
            agent
            for agent in _agents(desk)
            if (group is None or group in agent["groups"]) and (agent["on_duty"] or not on_duty)
        ]
    if json:
        print_json({"agents": found})
    elif found:
        columns = ["id", "name", "duty", "until", "groups", "tiers", "skills", "#load", "#capacity"]
        print_table(columns, [_row(agent) for agent in found])
    else:
        say("no agents")


@app.command()
def show(
    agent_id: AgentId, *, data_dir: DataDir = DEFAULT_DATA_DIR, json: JsonFlag = False
) -> None:
    """One agent, with all that routing knows."""
    from cli.desk import Desk

    with Desk(data_dir) as desk:
        found = desk.get("routing", _path(agent_id))
    if json:
        print_json(found)
    else:
        print_facts(_facts(found))


@app.command()
def presence(
    agent_id: AgentId,
    presence: Annotated[PresenceName, typer.Argument(help="What it is to be.")],
    *,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    actor: Actor = "system",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Set an agent online, away or offline."""
    from cli.desk import Desk

    body = {"presence": presence.value, "reason": reason}
    with Desk(data_dir) as desk:
        path = f"{_path(agent_id)}/presence"
        found = desk.put("routing", path, to_json(body), actor=_actor(actor))
    if json:
        print_json(found)
    else:
        say(f"{agent_id} is {found['presence']}: {_duty(found)}")


@app.command()
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML, or JSON (….json).")],
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check the file.")] = False,
    actor: Actor = "system",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Make the agents as a roster describes them: add who is new, change what differs.

    The file holds `agents:`, a list of agents with `id` and what `PUT /v1/agents/ID` takes. Nothing
    is sent when anything in it is wrong. Agents that it does not name, and presences, stay as they
    are, so that the same file can be loaded again and again.
    """
    roster, problems = read_roster(file)
    if problems:
        for problem in problems[:PROBLEMS_MAX]:
            complain(problem)
        if len(problems) > PROBLEMS_MAX:
            complain(f"and {len(problems) - PROBLEMS_MAX} more")
        raise typer.Exit(USAGE)
    if check:
        say(f"{len(roster)} agents, nothing wrong")
        return
    told = _send(roster, _actor(actor), data_dir)
    if json:
        print_json(told)
    counts = ", ".join(f"{len(ids)} {what}" for what, ids in told.items())
    say(f"{len(roster)} agents: {counts}")
    raise typer.Exit(FAILED if told["failed"] else OK)


def _send(
    roster: Mapping[str, Mapping[str, Any]], actor: str, data_dir: Path
) -> dict[str, list[str]]:
    from cli.desk import Desk

    told: dict[str, list[str]] = {"added": [], "changed": [], "unchanged": [], "failed": []}
    with Desk(data_dir) as desk, progress("agents") as tick:
        before = {agent["id"]: agent["sequence"] for agent in _agents(desk)}
        for done, (agent_id, body) in enumerate(roster.items(), start=1):
            try:
                after = desk.put("routing", _path(agent_id), to_json(body), actor=actor)
            except NotRunning:
                raise
            except CommandError as error:
                complain(f"agent {agent_id}: {error}")
                told["failed"].append(agent_id)
            else:
                same = before.get(agent_id) == after["sequence"]
                what = "unchanged" if same else "changed" if agent_id in before else "added"
                told[what].append(agent_id)
            tick(done, len(roster))
    return told


def read_roster(file: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Agent id → what is to be sent, and what is wrong, each problem with its agent and field."""
    entries = _read(file)
    roster: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for place, entry in enumerate(entries, start=1):
        agent_id = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(agent_id, str) or not agent_id:
            problems.append(f"{file}: agent {place} of the list: id: must be a text")
            continue
        if agent_id in roster:
            problems.append(f"{file}: agent {agent_id}: id: is there twice")
            continue
        roster[agent_id] = {name: value for name, value in entry.items() if name != "id"}
        problems += [
            f"{file}: agent {agent_id}: {p}" for p in _problems(agent_id, roster[agent_id])
        ]
    return roster, problems


def _problems(agent_id: str, body: Mapping[str, Any]) -> Iterator[str]:
    """What the service would say no to, whatever the agent is like now."""
    from pydantic import ValidationError

    from services.routing.api.bodies import AgentBody
    from services.routing.domain.agent import PutAgent, Refused, decide

    try:
        described = AgentBody.model_validate_json(to_json(body)).command()
        decide(agent_id, PutAgent(described), None)
    except ValidationError as error:
        for wrong in error.errors(include_url=False, include_context=False, include_input=False):
            yield f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
    except Refused as refused:
        yield refused.detail


def _read(file: Path) -> list[Any]:
    from libs.runtime.errors import Poison
    from libs.runtime.strict_json import strict_json
    from libs.runtime.strict_yaml import strict_yaml

    try:
        document = (strict_json if file.suffix == ".json" else strict_yaml)(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    except Poison as error:
        raise UsageError(f"{file}: {error.detail}") from None
    found = document.get("agents") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(found, list) or len(document) > 1:
        raise UsageError(f"{file}: must hold `agents:`, a list of agents, and nothing else")
    return found


def _agents(desk: Desk) -> Iterator[dict[str, Any]]:
    after = ""
    while page := desk.get("routing", PATH, after=after, limit=PAGE)["agents"]:
        yield from page
        after = page[-1]["id"]


def _path(agent_id: str) -> str:
    if not agent_id or agent_id in {".", ".."} or "/" in agent_id:
        raise UsageError(f"{agent_id!r} is no agent's id")
    return f"{PATH}/{quote(agent_id, safe='')}"


def _actor(actor: str) -> str:
    if not (actor.isascii() and actor.isprintable()):
        raise UsageError(f"--as is {actor!r}: write agent:ID in ASCII")
    return actor


def _duty(agent: Mapping[str, Any]) -> str:
    return "on duty" if agent["on_duty"] else str(agent["off_duty_reason"]).replace("_", " ")


def _row(agent: Mapping[str, Any]) -> list[object]:
    return [
        agent["id"],
        agent["name"],
        _duty(agent),
        str(agent["next_change"] or "")[:16].replace("T", " "),
        ", ".join(agent["groups"]),
        ", ".join(map(str, agent["tiers"])),
        _skills(agent),
        agent["load"],
        agent["capacity"],
    ]


def _skills(agent: Mapping[str, Any]) -> str:
    return ", ".join(f"{skill['name']} {skill['level']}" for skill in agent["skills"])


def _facts(agent: Mapping[str, Any]) -> list[tuple[str, object]]:
    hours = agent["working_hours"]
    shifts = [
        (f"  {day}", " ".join(f"{shift['start']}-{shift['end']}" for shift in found))
        for day, found in (hours["week"] if hours else {}).items()
    ]
    absences = [
        ("out of office", f"{p['start']} to {p['end']}{': ' + p['note'] if p['note'] else ''}")
        for p in agent["out_of_office"]
    ]
    limits = [f"{channel} {limit}" for channel, limit in agent["channel_limits"].items()]
    reason = f" ({agent['presence_reason']})" if agent["presence_reason"] else ""
    return [
        ("id", agent["id"]),
        ("version", agent["sequence"]),
        ("name", agent["name"]),
        ("e-mail", agent["email"]),
        ("presence", f"{agent['presence']}{reason}, since {agent['presence_since']}"),
        ("duty", "has left" if agent["retired"] else _duty(agent)),
        ("until", agent["next_change"]),
        ("load", f"{agent['load']} of {agent['capacity']} units ({agent['reserved']} reserved)"),
        ("groups", ", ".join(agent["groups"])),
        ("leads", ", ".join(agent["lead_of"])),
        ("tiers", ", ".join(map(str, agent["tiers"]))),
        ("skills", _skills(agent)),
        ("languages", ", ".join(agent["languages"]) or "any"),
        ("channels", ", ".join(agent["channels"]) or "all"),
        ("at most", ", ".join(limits)),
        ("hours", hours["zone"] if hours else "always"),
        *shifts,
        *absences,
    ]
