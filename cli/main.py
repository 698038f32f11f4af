"""The `bitacora` command: puts the subcommands together and turns errors into exit codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from cli.output import FAILED, UNREACHABLE, USAGE, complain
from libs.runtime.errors import Failure, Transient


@dataclass(frozen=True, slots=True)
class Subcommand:
    """`found_at` is `module:name` of a typer app or of a function. It is imported only when it is
    wanted: the database and Kafka libraries take longer to load than most commands to run."""

    found_at: str
    help: str

    def load(self) -> Any:
        module, _, name = self.found_at.partition(":")
        found = getattr(import_module(module), name)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        return _command_of(found)


SUBCOMMANDS: Final[dict[str, Subcommand]] = {
    "up": Subcommand("cli.up:up", "Run all services on this machine until Ctrl-C."),
    "demo": Subcommand("cli.demo.command:demo", "A simulated desk: a business day in a minute."),
    "import": Subcommand(
        "cli.importing.commands:app", "Bring the history of another system in, with its own times."
    ),
    "tickets": Subcommand("cli.tickets:app", "List tickets, show one now or then, its history."),
    "routing": Subcommand(
        "cli.routing:app", "Agents, rules, offers; why a ticket waits; simulate."
    ),
    "verify": Subcommand("cli.verify:verify", "Check the invariants, with figures."),
    "rebuild": Subcommand("cli.rebuild:app", "Make read models anew from the topics."),
    "export": Subcommand("cli.export:app", "The stream as Parquet files, for data teams."),
    "parked": Subcommand("cli.parked:app", "Messages that a service could not apply."),
    "sla": Subcommand("cli.sla:app", "Service levels: explain verdicts, what-if, business time."),
    "schemas": Subcommand("cli.schemas:schemas", "The JSON Schemas of events and commands."),
}
"""In the order in which `bitacora --help` shows them. A new subcommand gets a line here."""


class _Bitacora(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(SUBCOMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        wanted = SUBCOMMANDS.get(cmd_name)
        if wanted is None:
            return None
        if ctx.meta.get(_LISTING):
            return TyperCommand(cmd_name, help=wanted.help)
        command = wanted.load()
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        ctx.meta[_LISTING] = True
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception as error:
            code = exit_code_of(error)
            if code is None:
                raise  # a bug: its traceback helps whoever mends it
            complain(error.detail if isinstance(error, Failure) else str(error))
            raise typer.Exit(code) from None


_LISTING: Final = "bitacora.listing"


def exit_code_of(error: Exception) -> int | None:
    """The exit code for an error that is meant for people; None for a bug."""
    from libs.runtime.settings import SettingsError  # slow to load, and most commands go well

    if isinstance(error, SettingsError):
        return USAGE
    if isinstance(error, Transient):
        return UNREACHABLE
    if isinstance(error, Failure):
        return FAILED
    code = getattr(error, "exit_code", None)
    return code if isinstance(code, int) else None


def _command_of(function: Callable[..., None]) -> Any:
    single = typer.Typer(add_completion=False)
    single.command()(function)
    return typer.main.get_command(single)


app = typer.Typer(
    name="bitacora",
    cls=_Bitacora,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def bitacora() -> None:
    """Event-sourced support ticketing on Kafka."""


if __name__ == "__main__":
    app()
