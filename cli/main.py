"""The `bitacora` command: puts the subcommands together and turns errors into exit codes."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from cli import parked, schemas, tickets, up
from cli.importing import commands as importing
from cli.output import UNREACHABLE, USAGE, complain
from libs.runtime.errors import Failure, Transient
from libs.runtime.settings import SettingsError


class _Command(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except SettingsError as error:
            complain(str(error))
            raise typer.Exit(USAGE) from None
        except Transient as error:
            complain(error.detail)
            raise typer.Exit(UNREACHABLE) from None
        except Failure as error:
            complain(error.detail)
            raise typer.Exit(1) from None
        except Exception as error:
            # Every error that is meant for people says which exit code it has.
            code = getattr(error, "exit_code", None)
            if not isinstance(code, int):
                raise
            complain(str(error))
            raise typer.Exit(code) from None


app = typer.Typer(
    name="bitacora",
    cls=_Command,
    help="Event-sourced support ticketing on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    pretty_exceptions_enable=False,
)

app.command()(up.up)
app.add_typer(importing.app, name="import")
app.add_typer(tickets.app, name="tickets")
app.add_typer(parked.app, name="parked")
app.command()(schemas.schemas)


if __name__ == "__main__":
    app()
