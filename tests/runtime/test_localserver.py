"""Brokers as child processes: started, killed, stopped, and clear words when they cannot be."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from libs.runtime.apache import ApacheKafka
from libs.runtime.embedded import EmbeddedBroker
from libs.runtime.kafka import cluster_id, ensure_topics
from libs.runtime.localserver import BrokerUnavailable, LocalServer, free_port, speaks_kafka
from tests.runtime.test_kafka import TOPIC


async def test_the_embedded_broker_starts_is_killed_and_starts_empty_at_the_same_address(
    tmp_path: Path,
) -> None:
    with EmbeddedBroker(log_file=tmp_path / "broker.log") as broker:
        first = await cluster_id(broker.bootstrap)
        assert await ensure_topics(broker.bootstrap, [TOPIC]) == [TOPIC.name]
        pid, address = broker.pid, broker.bootstrap
        broker.start()
        assert broker.pid == pid
        broker.kill()
        assert broker.pid is None
        assert not speaks_kafka(broker.port)
        broker.start()
        assert broker.bootstrap == address
        assert await cluster_id(broker.bootstrap) != first
        assert await ensure_topics(broker.bootstrap, [TOPIC]) == [TOPIC.name]
    assert broker.pid is None
    broker.stop()
    broker.kill()


def test_the_embedded_broker_listens_on_the_loopback_address_only() -> None:
    # Another loopback address would be served, too, by who listens on every interface.
    with (
        EmbeddedBroker() as broker,
        socket.socket() as other,
        pytest.raises(ConnectionRefusedError),
    ):
        other.connect(("127.0.0.2", broker.port))


class Program(LocalServer):
    name = "the program"

    def __init__(self, code: str, log_file: Path | None) -> None:
        super().__init__(free_port(), log_file=log_file, start_timeout_s=1.0)
        self.code = code

    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-c", self.code)


def test_a_server_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = Program("raise SystemExit('no space left')", tmp_path / "log")
    with pytest.raises(BrokerUnavailable, match=r"the program ended at once:\nno space left"):
        program.start()
    assert program.pid is None


def test_a_server_that_never_answers_is_killed(tmp_path: Path) -> None:
    program = Program("import signal; signal.pause()", None)
    with pytest.raises(BrokerUnavailable, match="did not answer on port"):
        program.start()
    assert program.pid is None


def test_what_does_not_speak_kafka_is_not_taken_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not speaks_kafka(listener.getsockname()[1], timeout_s=0.1)


def test_apache_kafka_without_jars_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_LIBS", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="make kafka"):
        ApacheKafka(tmp_path / "data").start()
