"""Faults on Apache Kafka and PostgreSQL. One desk for all of these tests, as on the embedded stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from sqlalchemy import text

from cli.system import Options
from libs.runtime.settings import SERVICES
from libs.runtime.topiclog import open_topics
from tests.backends.shared import in_thread
from tests.e2e.desk import Desk, databases_of_their_own, shared_kafka, until
from tests.faults import work

pytestmark = [
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.timeout(300),
]

CUT: Final = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Restartable:
    """A desk that can be stopped as a whole and started again on the same stores."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.desk = Desk(options)
        self.desk.start()

    def restart(self, while_stopped: Callable[[], object]) -> Desk:
        self.desk.stop()
        while_stopped()
        self.desk = Desk(self.options)
        self.desk.start()
        return self.desk


@pytest.fixture(scope="module")
def cluster(
    backends: Path, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Restartable]:
    with ExitStack() as stack:
        bootstrap = stack.enter_context(shared_kafka(backends))
        stack.enter_context(databases_of_their_own(postgres_server))
        options = Options(data_dir=tmp_path_factory.mktemp("desk"), kafka=bootstrap, port_base=0)
        made = Restartable(options)
        try:
            yield made
        finally:
            made.desk.stop()


def test_connections_are_cut_and_services_killed_in_the_middle_of_an_import(
    cluster: Restartable, tmp_path: Path
) -> None:
    desk = cluster.desk
    job = work.import_sample(desk, tmp_path / "import.json")
    work.more(lambda: work.stored(desk), job, "the import begins")
    for service in SERVICES:
        with desk.database(service) as database, database.transaction() as connection:
            assert connection.execute(CUT).scalar()
    work.more(lambda: work.stored(desk), job, "the import goes on")
    killed = {name: desk.signal(name) for name in SERVICES}
    for name, pid in killed.items():
        desk.restarted(name, pid)
    assert job.wait(90) == 0, (tmp_path / "import.json").read_text()
    checks = desk.verified()
    assert checks["I5"]["figures"]["tickets"] == work.INCIDENTS


def test_a_transaction_that_is_held_open_holds_up_and_loses_nothing(cluster: Restartable) -> None:
    desk = cluster.desk
    tickets: list[str] = []
    with desk.database("intake") as database:
        with database.transaction() as connection:
            connection.execute(text("LOCK TABLE stored_events IN ROW EXCLUSIVE MODE"))
            creating = threading.Thread(target=lambda: tickets.append(desk.create("held up")))
            creating.start()
            blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            until(lambda: connection.execute(blocked).scalar(), "intake waits")
            assert not tickets
        creating.join()
    desk.await_reported(tickets)
    desk.verified()


def test_offsets_set_back_to_the_beginning_change_nothing(cluster: Restartable) -> None:
    desk = cluster.desk
    desk.verified()
    before = work.counts(desk)
    bootstrap = desk.state.bootstrap
    desk = cluster.restart(lambda: in_thread(_to_the_beginning(bootstrap)))
    tickets = [desk.create("after the reset")]
    desk.await_reported(tickets)
    desk.verified()
    after = work.counts(desk)
    assert after["stored"] - before["stored"] == len(desk.history(tickets[0]))


async def _to_the_beginning(bootstrap: str) -> None:
    """Every group reads everything again."""
    topics = ["tickets.events", "tickets.commands", "tickets.rejections", "sla.events"]
    async with open_topics(bootstrap, topics) as log:
        places = log.places
    for service in SERVICES:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=service, enable_auto_commit=False
        )
        consumer.assign([TopicPartition(*place) for place in places])
        await consumer.start()
        try:
            start = OffsetAndMetadata(0, "")
            await consumer.commit({TopicPartition(*place): start for place in places})
        finally:
            await consumer.stop()


def test_a_ticket_that_no_topic_would_take_is_refused(cluster: Restartable) -> None:
    work.takes_what_a_topic_takes(cluster.desk)
    cluster.desk.verified()


def test_poison_on_every_topic_is_parked_and_all_else_flows_on(cluster: Restartable) -> None:
    work.survives_poison(cluster.desk)


def test_a_gap_is_healed_by_the_missing_event(cluster: Restartable) -> None:
    work.heals_a_gap(cluster.desk)
