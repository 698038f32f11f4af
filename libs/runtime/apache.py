"""A local Apache Kafka, one node in KRaft mode, from the jars that `make kafka` fetches.

For one machine and for tests; a real installation is named by its address instead.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from libs.runtime.localserver import BrokerUnavailable, LocalServer, free_port

LIBS: Final = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "libs"
HEAP_MB: Final = 768
FORMAT_TIMEOUT_S: Final = 60
START_TIMEOUT_S: Final = 90.0

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
num.partitions=6
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=6
transaction.state.log.num.partitions=1
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class ApacheKafka(LocalServer):
    """One broker whose data lie in `directory` and outlive it; free ports unless one is given.

    As a context manager it is started and stopped; `kill` and `start` are a crash and recovery.
    """

    name = "Apache Kafka"

    def __init__(self, directory: Path, *, port: int | None = None, heap_mb: int = HEAP_MB) -> None:
        super().__init__(
            port or free_port(), log_file=directory / "kafka.log", start_timeout_s=START_TIMEOUT_S
        )
        self._directory = directory
        self._heap_mb = heap_mb
        self._controller_port = free_port()

    def command(self) -> tuple[str, ...]:
        return kafka_command(
            self._directory,
            port=self.port,
            controller_port=self._controller_port,
            heap_mb=self._heap_mb,
        )


def kafka_command(
    directory: Path, *, port: int, controller_port: int, heap_mb: int = HEAP_MB
) -> tuple[str, ...]:
    """Prepare `directory` (formatted on first use) and give the command that serves from it.

    `BITACORA_KAFKA_LIBS` names another directory of jars. Raises BrokerUnavailable.
    """
    libs = Path(os.environ.get("BITACORA_KAFKA_LIBS") or LIBS)
    if not list(libs.glob("kafka_*.jar")):
        raise BrokerUnavailable(f"Apache Kafka's jars are not in {libs}: run `make kafka`")
    java = _java()
    logs = directory / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    properties = directory / "server.properties"
    properties.write_text(
        _PROPERTIES.format(port=port, controller=controller_port, logs=logs), encoding="utf-8"
    )
    base = (java, f"-Dkafka.logs.dir={directory}", "-cp", f"{libs}/*")
    if not (logs / "meta.properties").exists():
        _format(base, properties)
    return (*base[:1], f"-Xmx{heap_mb}m", *base[1:], "kafka.Kafka", str(properties))


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise BrokerUnavailable("Apache Kafka needs Java 17 or newer: install it or set JAVA_HOME")
    return found


def _format(base: tuple[str, ...], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = (
        *base,
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        f"--cluster-id={cluster}",
        "--config",
        str(properties),
    )
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise BrokerUnavailable(f"Apache Kafka's storage cannot be formatted: {done.stderr[-500:]}")
