"""Processes killed and stopped at work, on the embedded broker and SQLite.

One desk for all of these tests: each leaves it in order, and the next goes on with what is there.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cli.system import Options
from libs.runtime.settings import SERVICES
from tests.e2e.desk import Desk, running, until
from tests.faults import work

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults-embedded"),
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running(Options(data_dir=tmp_path_factory.mktemp("desk"), port_base=0)) as desk:
        yield desk


def test_every_process_is_killed_in_the_middle_of_an_import(desk: Desk, tmp_path: Path) -> None:
    output = tmp_path / "import.json"
    job = work.import_sample(desk, output)
    work.more(lambda: work.stored(desk), job, "the import begins")
    killed = {"intake": desk.signal("intake"), "routing": desk.signal("routing")}
    work.more(lambda: work.applied(desk, "reporting"), job, "reporting is at work")
    killed |= {"reporting": desk.signal("reporting"), "sla": desk.signal("sla")}
    desk.restarted("intake", killed["intake"])
    work.more(lambda: work.stored(desk), job, "the import goes on")
    killed |= {"broker": desk.signal("broker"), "intake": desk.signal("intake")}
    for name, pid in killed.items():
        desk.restarted(name, pid)
    assert job.wait(90) == 0, output.read_text()
    report = json.loads(output.read_text()[output.read_text().index("{") :])
    assert report["cases"] == work.INCIDENTS, report
    checks = desk.verified()
    assert checks["I5"]["figures"]["tickets"] == work.INCIDENTS


def test_the_same_file_again_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    before = work.stored(desk)
    job = work.import_sample(desk, tmp_path / "again.json")
    assert job.wait(90) == 0, (tmp_path / "again.json").read_text()
    assert work.stored(desk) == before


def test_services_are_told_to_stop_one_after_the_other_while_tickets_come_in(desk: Desk) -> None:
    tickets = []
    for name in SERVICES:
        tickets.append(desk.create_somehow(f"before {name}", str(uuid4())))
        pid = desk.signal(name, signal.SIGTERM)
        tickets += [desk.create_somehow(f"without {name} {n}", str(uuid4())) for n in range(10)]
        desk.restarted(name, pid)
    desk.await_reported(tickets)
    assert [
        line for line in desk.told if "ended with status" in line and "status 0" not in line
    ] == []
    desk.verified()


def test_tickets_are_taken_while_the_broker_hangs_and_delivered_later(desk: Desk) -> None:
    desk.signal("broker", signal.SIGSTOP)
    log = desk.data_dir / "logs" / "intake.log"
    retries = log.read_text().count("relay_retries")
    tickets = [desk.create(f"no broker {number}") for number in range(50)]
    # The relay gives up waiting for the broker, and intake goes on taking tickets.
    until(lambda: log.read_text().count("relay_retries") > retries, "the relay notices")
    tickets += [desk.create(f"still none {number}") for number in range(10)]
    assert desk.reported(tickets[-1]) == {}
    desk.signal("broker", signal.SIGCONT)
    desk.await_reported(tickets)
    desk.verified()


def test_a_broker_that_comes_back_empty_is_filled_again(desk: Desk) -> None:
    tickets = [desk.create("before")]
    pid = desk.signal("broker")
    tickets += [desk.create(f"meanwhile {number}") for number in range(10)]
    desk.restarted("broker", pid)
    tickets.append(desk.create("afterwards"))
    desk.await_reported(tickets)
    desk.verified()


def test_all_topics_published_a_second_time_change_nothing(desk: Desk) -> None:
    desk.verified()
    before, taken = work.counts(desk), work.applied(desk, "reporting")
    records = work.publish_everything_again(desk)
    until(lambda: work.applied(desk, "reporting") > taken, "reporting reads them")
    desk.verified()
    assert records > before["stored"]
    assert work.counts(desk) == before


def test_a_ticket_that_no_topic_would_take_is_refused(desk: Desk) -> None:
    work.takes_what_a_topic_takes(desk)
    desk.verified()


def test_poison_on_every_topic_is_parked_and_all_else_flows_on(desk: Desk) -> None:
    work.survives_poison(desk)


def test_a_gap_is_healed_by_the_missing_event(desk: Desk) -> None:
    work.heals_a_gap(desk)
