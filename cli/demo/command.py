"""`bitacora demo`: options, the temporary directory, and the exit code."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.demo.run import BEGIN, Run, Stopped, Wishes, load_per_cpu, log_dir
from cli.demo.summary import Summary, as_document, show
from cli.output import FAILED, CommandError, JsonFlag, UsageError, print_json, say
from cli.system import AlreadyRunning, BrokerUnavailable, Options, StartFailed
from cli.up import DatabaseUrl, Kafka

RATE: Final = 720.0
"""On a machine that has nothing else to do; on a busy one the clock runs slower, or the agents would get
nothing done in their day."""
WALL_S: Final = 45.0
CLOSE_BY_S: Final = 65.0
"""Without a terminal: how long the desk is open, and when it is closed at the latest, counted from the
command, so that all is over within two minutes on a slow machine too."""


def demo(
    *,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another day.")] = 1,
    minutes_of_wall: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=60 * 24,
            help="End after so many real minutes. Default: 0.75 without a terminal, with one never.",
        ),
    ] = None,
    until: Annotated[
        str, typer.Option(metavar="HH:MM", help="End at this simulated time of the first day.")
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=5_000,
            help="Simulated seconds per real second. Default: 720, less on a busy machine.",
        ),
    ] = None,
    port_base: Annotated[
        int,
        typer.Option(min=0, max=65_000, help="As for `up`; 0, the default, takes free ports."),
    ] = 0,
    data_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Default: a temporary one, removed at the end."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the temporary one.")] = False,
    kafka: Kafka = "embedded",
    database: DatabaseUrl = "",
    chaos: Annotated[
        bool,
        typer.Option("--chaos", help="Kill every service in turn with SIGKILL, on the way."),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """A whole system and a simulated desk: a business day in a minute.

    On a terminal it goes on until Ctrl-C and shows what happens. Otherwise it ends by itself, checks
    the invariants and prints a summary. Exit status 1 if an invariant fails or nothing happened.
    """
    live = sys.stdout.isatty() and sys.stderr.isatty() and not json
    made = data_dir is None
    place = Path(tempfile.mkdtemp(prefix="bitacora-demo-")) if data_dir is None else data_dir
    options = Options(place, kafka, database, port_base=port_base)
    wishes = Wishes(
        seed,
        rate or _rate(),
        options,
        wall_s=None if live else WALL_S,
        close_by_s=CLOSE_BY_S,
        chaos=chaos,
        live=live,
    )
    if until:
        wishes = replace(wishes, until=_instant(until))
    elif minutes_of_wall is not None:
        wishes = replace(wishes, wall_s=minutes_of_wall * 60, close_by_s=None)
    failed = True
    try:
        summary = asyncio.run(_run(wishes))
        failed = not summary.ok
    except Stopped:
        failed = False
        raise
    finally:
        # What failed is worth looking at.
        if made and not keep and not (failed and log_dir(place).exists()):
            shutil.rmtree(place, ignore_errors=True)
        elif made:
            say(f"files and logs are kept in {place}")
    if json:
        print_json(as_document(summary))
    else:
        show(summary)
    if failed:
        raise typer.Exit(FAILED)


async def _run(wishes: Wishes) -> Summary:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()

    def interrupted() -> None:
        if stop.is_set() and this is not None:
            this.cancel()  # the second time: without waiting and verifying
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupted)
    try:
        return await Run(wishes, stop)()
    except (AlreadyRunning, BrokerUnavailable, StartFailed) as error:
        raise CommandError(str(error)) from None
    except asyncio.CancelledError:
        raise Stopped("stopped before it was verified") from None


def _rate() -> float:
    return float(round(RATE / max(1.0, load_per_cpu()) ** 0.5))


def _instant(text: str) -> datetime:
    """That time of the first day. Raises UsageError."""
    try:
        at = time.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until is {text!r}; give a time such as 14:30") from None
    end = datetime.combine(BEGIN.date(), at.replace(tzinfo=None), BEGIN.tzinfo)
    if end <= BEGIN:
        raise UsageError(f"the desk opens at {BEGIN:%H:%M}: --until must be later")
    return end
