"""`bitacora routing offers`: the agent's side of offered tickets."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic_core import to_json

from cli.output import DEFAULT_DATA_DIR, DataDir, JsonFlag, print_json, print_table, say

app = typer.Typer(
    help="Offered tickets: list, accept, decline.", no_args_is_help=True, add_completion=False
)

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]
OfferId = Annotated[str, typer.Argument(metavar="OFFER", help="The offer's id (`offers list`).")]


@app.command("list")
def list_(agent: AgentId, *, data_dir: DataDir = DEFAULT_DATA_DIR, json: JsonFlag = False) -> None:
    """The offers to an agent: open ones first, then the latest."""
    from cli.desk import Desk

    with Desk(data_dir) as desk:
        found = desk.get("routing", f"/v1/agents/{quote(agent, safe='')}/offers")
    if json:
        print_json(found)
    elif found["offers"]:
        columns = ["offer", "ticket", "state", "made", "until"]
        rows = [(o["id"], f"#{o['number']}", o["state"], o["made"], o["until"])
                for o in found["offers"]]  # fmt: skip
        print_table(columns, rows)
    else:
        say(f"nothing was offered to {agent}")


@app.command()
def accept(
    agent: AgentId,
    offer: OfferId,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Take the ticket."""
    _answer(agent, offer, "accept", {}, data_dir, json=json)


@app.command()
def decline(
    agent: AgentId,
    offer: OfferId,
    *,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Let somebody else have the ticket."""
    _answer(agent, offer, "decline", {"reason": reason}, data_dir, json=json)


def _answer(
    agent: str, offer: str, what: str, body: dict[str, Any], data_dir: DataDir, *, json: bool
) -> None:
    from cli.desk import Desk

    path = f"/v1/offers/{quote(offer, safe='')}/{what}"
    with Desk(data_dir) as desk:
        found = desk.post("routing", path, to_json(body), actor=f"agent:{agent}")
    if json:
        print_json(found)
    else:
        say(f"ticket #{found['number']}: {found['state']} by {found['agent']}")
