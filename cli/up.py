"""`bitacora up`: the whole system on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from cli.output import (
    DEFAULT_DATA_DIR,
    CommandError,
    DataDir,
    JsonFlag,
    print_json_line,
    print_table,
    say,
)
from cli.system import (
    PORT_BASE,
    AlreadyRunning,
    BrokerUnavailable,
    Options,
    StartFailed,
    System,
)
from libs.runtime.clock import parse_clock

Kafka = Annotated[
    str,
    typer.Option(
        metavar="embedded|local|HOST:PORT",
        help="The broker: in memory, the Apache Kafka of `make kafka`, or one that runs elsewhere.",
    ),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        metavar="postgresql://…",
        help="A PostgreSQL server; each service gets a database there. Default: SQLite files.",
    ),
]
ClockOption = Annotated[
    str,
    typer.Option(
        envvar="BITACORA_CLOCK", help="real, or accelerated:START,EPOCH,RATE (see the guide)."
    ),
]
PortBase = Annotated[
    int,
    typer.Option(
        min=0,
        max=65_000,
        help="Services listen on the four ports after it, the broker 292 above; 0: free ports.",
    ),
]


def up(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    kafka: Kafka = "embedded",
    database: DatabaseUrl = "",
    clock: ClockOption = "real",
    port_base: PortBase = PORT_BASE,
    json: JsonFlag = False,
) -> None:
    """Run all services here, supervised; prints their addresses once all are ready.

    What crashes is started again. Ctrl-C stops everything in order.
    """
    try:
        parse_clock(clock)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--clock") from None
    options = Options(data_dir, kafka, database, clock, port_base)
    asyncio.run(_run(options, json=json))


async def _run(options: Options, *, json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    system = System(options, say)
    starting = asyncio.create_task(system.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    try:
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return
        try:
            await starting
        except (AlreadyRunning, BrokerUnavailable, StartFailed) as error:
            raise CommandError(str(error)) from None
        _announce(system, json=json)
        await stopping
        say("stopping …")
    finally:
        stopping.cancel()
        await system.stop()
    say("stopped")


def _announce(system: System, *, json: bool) -> None:
    state = system.state
    if json:
        facts = {
            "urls": state.urls,
            "bootstrap": state.bootstrap,
            "kafka": state.kafka,
            "data_dir": str(system.options.data_dir),
            "pids": state.pids,
        }
        print_json_line({"ready": True, **facts})
        return
    rows = [[name, url, f"{url}/docs"] for name, url in state.urls.items()]
    rows.append([f"Kafka ({state.kafka})", state.bootstrap, ""])
    print_table(["service", "address", "API"], rows)
    say(f"the desk's page: {state.urls['reporting']}/   logs: {system.options.data_dir / 'logs'}")
    say("Ctrl-C stops everything")
