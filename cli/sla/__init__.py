"""`bitacora sla`: questions about business time and service levels, one file per subcommand.

A file imports what it needs inside its function, so that none waits for the libraries of another.
"""

from __future__ import annotations

import typer

from cli.sla.calculate import calculate
from cli.sla.explain import explain
from cli.sla.what_if import what_if

app = typer.Typer(no_args_is_help=True, help="Service levels: business time and what became of it.")
app.command()(calculate)
app.command()(explain)
app.command()(what_if)


@app.callback()
def sla() -> None:
    """Service levels: business time and what became of it."""
