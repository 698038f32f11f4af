"""The whole system on one machine: four services and, if asked, a broker, under one supervisor.

::

    system = System(Options(data_dir=Path("x"), port_base=0), tell=print)
    await system.start()
    try:
        system.state.urls["intake"]
    finally:
        await system.stop()
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cli.output import NotRunning, UsageError
from libs.events import format_time
from libs.runtime.apache import kafka_command
from libs.runtime.clock import RealClock
from libs.runtime.embedded import BrokerUnavailable, broker_command
from libs.runtime.runstate import (
    AlreadyRunning,
    RunLock,
    RunState,
    read_run,
    remove_run,
    write_run,
)
from libs.runtime.settings import SERVICES, settings_of
from libs.runtime.supervisor import Child, StartFailed, Supervisor, answers

ROOT: Final = Path(__file__).resolve().parents[1]
PORT_BASE: Final = 8800
BROKER_OFFSET: Final = 292
"""8800 + 292 is 9092, where people look for Kafka."""
# Those who ask for work stop first, then who decides it, then who only looks on; then the broker.
STOP_ORDER: Final = {"routing": 3, "sla": 3, "intake": 2, "reporting": 1}


@dataclass(frozen=True, slots=True)
class Options:
    """`kafka`: `embedded`, `local` (Apache Kafka from `make kafka`), or addresses `host:port,…`.

    `database`: "" for SQLite files in `data_dir`, or a PostgreSQL URL in whose server each service
    gets a database of its own. `port_base`: services listen on the next four ports, a broker on the
    292nd; 0 takes free ports. `environment` is added to that of the children.
    """

    data_dir: Path = Path(".bitacora")
    kafka: str = "embedded"
    database: str = ""
    clock: str = "real"
    port_base: int = PORT_BASE
    environment: Mapping[str, str] = field(default_factory=dict)


class System:
    """`tell` gets a line for people about everything that happens."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self.options = replace(options, data_dir=options.data_dir.resolve())
        self._tell = tell
        self._lock = RunLock(self.options.data_dir)
        self._state: RunState | None = None
        self.supervisor: Supervisor | None = None

    @property
    def state(self) -> RunState:
        """What run.json says, with the present process ids. Only after `start`."""
        if self._state is None or self.supervisor is None:
            raise RuntimeError("the system has not been started")
        return replace(self._state, pids=self.supervisor.pids())

    async def start(self) -> None:
        """Start everything and wait until all services are ready.

        Raises UsageError, NotRunning (Kafka or PostgreSQL cannot be reached), AlreadyRunning,
        BrokerUnavailable, StartFailed, SettingsError; nothing is left running then.
        """
        data_dir = self.options.data_dir
        self._lock.acquire()
        try:
            children, state = await asyncio.to_thread(self._plan)
            if state.kafka == "external":
                await _reach_kafka(state.bootstrap)
            self.supervisor = Supervisor(
                children, data_dir / "logs", self._tell, changed=self._write_state
            )
            await self.supervisor.start()
            self._state = state
            self._write_state()
        except BaseException:
            self._lock.release()
            raise

    async def stop(self) -> None:
        """Stop everything in order. Safe to call twice."""
        if self.supervisor is not None:
            await self.supervisor.stop()
        if self._state is not None:
            remove_run(self.options.data_dir)
            self._state = None
        self._lock.release()

    def _write_state(self) -> None:
        if self._state is not None:
            write_run(self.options.data_dir, self.state)

    # -- the plan -----------------------------------------------------------------------------

    def _plan(self) -> tuple[list[Child], RunState]:
        ports = choose_ports(self.options.port_base)
        bootstrap, kind, children = self._broker(ports)
        databases = self._databases()
        urls = {}
        for service in SERVICES:
            urls[service] = f"http://127.0.0.1:{ports[service]}"
            environment = self._environment(service, ports[service], databases[service])
            environment |= {
                "BITACORA_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "BITACORA_KAFKA_EMBEDDED": "true" if kind == "embedded" else "false",
                **self.options.environment,
            }
            command = (sys.executable, "-m", f"services.{service}")
            ready = f"{urls[service]}/health/ready"
            children.append(Child(service, command, environment, ready, 1, STOP_ORDER[service]))
        state = RunState(
            pid=os.getpid(),
            started_at=format_time(RealClock().now()),
            bootstrap=bootstrap,
            kafka=kind,
            clock=self.options.clock,
            urls=urls,
            database_urls=databases,
        )
        return children, state

    def _broker(self, ports: Mapping[str, int]) -> tuple[str, str, list[Child]]:
        """Bootstrap servers, kind, and the broker as a child if it is ours."""
        kafka = self.options.kafka
        if kafka not in ("embedded", "local"):
            if ":" not in kafka:
                raise UsageError(f"--kafka is {kafka!r}: give embedded, local or HOST:PORT")
            return kafka, "external", []
        port = ports["broker"]
        if kafka == "embedded":
            command = broker_command(port)
        else:
            command = kafka_command(
                self.options.data_dir / "kafka", port=port, controller_port=ports["controller"]
            )
        address = f"127.0.0.1:{port}"
        child = Child("broker", command, dict(os.environ), f"tcp://{address}", stage=0)
        return address, kafka, [child]

    def _databases(self) -> dict[str, str]:
        if self.options.database:
            return create_databases(self.options.database)
        data_dir = self.options.data_dir
        return {name: settings_of(name, data_dir=data_dir).database_url for name in SERVICES}

    def _environment(self, service: str, port: int, database_url: str) -> dict[str, str]:
        own = f"BITACORA_{service.upper()}_"
        before = os.environ.get("PYTHONPATH")
        return {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{before}" if before else str(ROOT),
            "BITACORA_DATA_DIR": str(self.options.data_dir),
            "BITACORA_CLOCK": self.options.clock,
            f"{own}DATABASE_URL": database_url,
            f"{own}HTTP_HOST": "127.0.0.1",
            f"{own}HTTP_PORT": str(port),
        }


def choose_ports(base: int) -> dict[str, int]:
    """A port for each service, the broker and its controller. Raises UsageError when one is taken."""
    names = [*SERVICES, "broker", "controller"]
    if base == 0:
        # All are held until all are known, so that none is given twice.
        held = [socket.socket() for _ in names]
        try:
            for one in held:
                one.bind(("127.0.0.1", 0))
            return {name: one.getsockname()[1] for name, one in zip(names, held, strict=True)}
        finally:
            for one in held:
                one.close()
    ports = {name: base + place for place, name in enumerate(SERVICES, 1)}
    ports |= {"broker": base + BROKER_OFFSET, "controller": base + BROKER_OFFSET + 1}
    for name, port in ports.items():
        if name in SERVICES and not _is_free(port):
            raise UsageError(f"port {port} ({name}) is in use: choose others with --port-base")
    return ports


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def create_databases(url: str) -> dict[str, str]:
    """`bitacora_<service>` for each service on the PostgreSQL server of `url`, made if missing.

    Raises UsageError when `url` is not PostgreSQL's, NotRunning when the server cannot be reached.
    """
    import psycopg
    from psycopg import sql
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        server = make_url(url).set(drivername="postgresql")
    except ArgumentError:
        raise UsageError(
            "--database must be a URL such as postgresql://user@host/postgres"
        ) from None
    if not url.startswith("postgresql"):
        raise UsageError("--database must begin with postgresql:// (SQLite needs no option)")
    address = server.render_as_string(hide_password=False)
    urls = {}
    try:
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            for service in SERVICES:
                name = f"bitacora_{service}"
                query = "SELECT 1 FROM pg_database WHERE datname = %s"
                if connection.execute(query, (name,)).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                urls[service] = server.set(database=name).render_as_string(hide_password=False)
    except psycopg.OperationalError as error:
        raise NotRunning(f"PostgreSQL cannot be reached: {str(error).strip()[:300]}") from None
    except psycopg.Error as error:
        raise UsageError(f"the databases cannot be made: {str(error).strip()[:300]}") from None
    return urls


async def _reach_kafka(bootstrap: str) -> None:
    for address in bootstrap.split(","):
        if await answers(f"tcp://{address.strip()}"):
            return
    raise NotRunning(f"nothing answers at {bootstrap}: is Kafka running there?")


# -- for the other subcommands -----------------------------------------------------------------


def service_url(service: str, data_dir: Path) -> str:
    """Where `service` listens: of the system that runs on `data_dir`, else as the settings say."""
    state = read_run(data_dir)
    if state is not None and service in state.urls:
        return state.urls[service]
    return settings_of(service, data_dir=data_dir).http_url


def database_url(service: str, data_dir: Path) -> str:
    """The database of `service`: of the running system, else as the settings say."""
    state = read_run(data_dir)
    if state is not None and service in state.database_urls:
        return state.database_urls[service]
    return settings_of(service, data_dir=data_dir).database_url


__all__ = [
    "AlreadyRunning",
    "BrokerUnavailable",
    "Options",
    "StartFailed",
    "System",
    "database_url",
    "service_url",
]
