"""`bitacora routing`: who gets which ticket and why, one file per subcommand.

A file imports what it needs inside its functions, so that none waits for the libraries of another.
"""

from __future__ import annotations

import typer

from cli.routing.agents import app as agents
from cli.routing.explain import explain
from cli.routing.offers import app as offers
from cli.routing.rules import app as rules
from cli.routing.simulate import simulate

app = typer.Typer(
    help="Routing: agents, offers, rules; why a ticket waits, why an agent has no work.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(agents, name="agents")
app.add_typer(offers, name="offers")
app.add_typer(rules, name="rules")
app.command()(explain)
app.command()(simulate)


@app.callback()
def routing() -> None:
    """Routing: agents, offers, rules; why a ticket waits, why an agent has no work."""
