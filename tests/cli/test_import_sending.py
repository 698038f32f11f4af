from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from typer.testing import CliRunner

from cli.importing.batches import COMMANDS_MAX, pack
from cli.importing.changes import CaseCommands
from cli.importing.client import Intake, connect
from cli.importing.errors import GoneAway, RequestRefused
from cli.importing.run import Import, Options, Result
from cli.main import app
from cli.output import NotRunning
from services.intake.app import build_with_desk
from services.intake.config import IntakeSettings
from tests.cli.importing import SAMPLE, Quiet, csv_text, incident, servicenow, write


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Intake]:
    """A real intake on SQLite, in this process."""
    url = f"sqlite:///{tmp_path / 'intake.sqlite3'}"
    service, desk = build_with_desk(IntakeSettings(data_dir=tmp_path, database_url=url))
    service._create()
    async with client(service.http) as http:
        yield Intake(http, patience_s=5, on_retry=lambda _: None)
    service.store.close()
    desk.events.close()


def client(http_app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=http_app)
    headers = {"content-type": "application/json"}
    return httpx.AsyncClient(transport=transport, base_url="http://intake", headers=headers)


async def imported(path: Path, intake: Intake, **options: object) -> Result:
    table, translator = servicenow(path)
    work = Import(table, translator, Options(**options), Quiet())  # type: ignore[arg-type]
    return await work.run(intake)


# ------------------------------------------------------------------------------ a real intake


async def test_the_sample_goes_in_and_reads_back_equal(intake: Intake) -> None:
    result = await imported(SAMPLE, intake, check=True)
    assert result.good
    assert result.sent is not None
    assert (result.sent.accepted, result.sent.events, result.sent.rejected) == (2_215, 2_215, 0)
    assert result.comparison is not None
    assert (result.comparison.equal, result.comparison.unexplained) == (283, 0)


async def test_importing_twice_changes_nothing(intake: Intake) -> None:
    await imported(SAMPLE, intake)
    again = await imported(SAMPLE, intake, check=True)
    assert again.sent is not None
    assert (again.sent.accepted, again.sent.events) == (0, 0)
    assert again.sent.sentence.startswith("Nothing new: all 2,215 commands")
    assert again.good


async def test_an_interrupted_import_goes_on_where_it_stopped(intake: Intake) -> None:
    begun = await imported(SAMPLE, intake, limit=120)
    assert begun.sent is not None
    whole = await imported(SAMPLE, intake, check=True)
    assert whole.sent is not None
    assert whole.sent.duplicates == begun.sent.commands
    assert whole.sent.accepted == 2_215 - begun.sent.commands
    assert whole.good


async def test_open_tickets_are_handed_to_the_live_desk(tmp_path: Path, intake: Intake) -> None:
    rows = incident({"incident_state": "Active"})
    table, translator = servicenow(write(tmp_path / "log.csv", csv_text(rows)), activate_open=True)
    result = await Import(table, translator, Options(), Quiet()).run(intake)
    assert result.sent is not None
    assert result.sent.rejected == 0
    ids = [
        command["ticket_id"]
        for command in translator.commands("INC1", [(2, list(rows[0].values()))])
    ]
    (ticket,) = [one async for one in intake.tickets(ids[:1])]
    assert ticket["live"] is True


async def test_ids_of_no_ticket_are_left_out(intake: Intake) -> None:
    table, translator = servicenow(SAMPLE)
    work = Import(table, translator, Options(limit=2, check=True), Quiet())
    await work.run(intake)
    nobody = [one async for one in intake.tickets(["00000000-0000-4000-8000-000000000000"])]
    assert nobody == []


# --------------------------------------------------------------------- an intake in trouble


class Trouble:
    """Answers as intake would; `answer` may say otherwise. Knows who came while who was there."""

    def __init__(self, answer: Callable[[int], Response | None] = lambda _: None) -> None:
        self.app = FastAPI()
        self.requests = 0
        self.at_once = 0
        self.most_at_once = 0
        self.seen: dict[str, list[str]] = defaultdict(list)
        self.inside: list[set[str]] = []
        self.clashes = 0

        @self.app.post("/v1/commands/batch")
        async def batch(request: Request) -> Response:
            self.requests += 1
            other = answer(self.requests)
            if other is not None:
                return other
            commands = (await request.json())["commands"]
            tickets = {command["ticket_id"] for command in commands}
            self.clashes += any(tickets & there for there in self.inside)
            self.inside.append(tickets)
            self.most_at_once = max(self.most_at_once, len(self.inside))
            for _ in range(5):
                await asyncio.sleep(0)  # others may come in now
            for command in commands:
                self.seen[command["ticket_id"]].append(command["command_id"])
            self.inside.remove(tickets)
            results = [{"status": "accepted", "events": 1} for _ in commands]
            counts = {"accepted": len(commands), "duplicates": 0, "rejected": 0}
            return Response(json.dumps(counts | {"results": results}))


def histories(*sizes: int) -> list[tuple[str, list[dict[str, object]]]]:
    result = []
    for number, size in enumerate(sizes):
        out = CaseCommands("test", f"case {number}")
        for row in range(size):
            out.field(row, "2024-01-01T00:00:00Z", "f", str(row))
        result.append((f"case {number}", out.commands))
    return result


async def test_several_requests_at_once_but_never_two_with_the_same_case() -> None:
    cases = histories(40, 3, COMMANDS_MAX * 2 + 10, 30, 50, 7, 60)
    trouble = Trouble()
    async with client(trouble.app) as http:
        sent = await Intake(http, patience_s=5, on_retry=print).send(pack(cases, wanted=40))
    assert trouble.clashes == 0
    assert trouble.most_at_once == 3
    assert sent.accepted == sum(len(commands) for _, commands in cases)
    for _, commands in cases:
        assert trouble.seen[str(commands[0]["ticket_id"])] == [c["command_id"] for c in commands]


def test_batches_hold_whole_cases_unless_one_is_larger_than_a_request() -> None:
    batches = list(pack(histories(30, 30, 30, COMMANDS_MAX + 1, 5), wanted=50))
    assert [batch.commands for batch in batches] == [60, 30, COMMANDS_MAX, 6]
    assert sum(batch.whole_cases for batch in batches) == 5


async def test_it_tries_again_when_intake_is_away_for_a_moment() -> None:
    told: list[str] = []
    trouble = Trouble(lambda number: Response(status_code=503) if number <= 2 else None)
    async with client(trouble.app) as http:
        intake = Intake(http, patience_s=30, on_retry=told.append)
        sent = await intake.send(pack(histories(3)))
    assert (sent.accepted, sent.retries, trouble.requests) == (3, 2, 3)
    assert told == ["intake does not answer; trying again"]


async def test_it_gives_up_with_advice_when_intake_stays_away() -> None:
    trouble = Trouble(lambda _: Response(status_code=503))
    async with client(trouble.app) as http:
        intake = Intake(http, patience_s=0.1, on_retry=lambda _: None)
        with pytest.raises(GoneAway, match="run the same import again") as caught:
            await intake.send(pack(histories(3)))
    assert caught.value.exit_code == 3


async def test_a_refused_request_is_an_error_with_intakes_words() -> None:
    trouble = Trouble(lambda _: Response('{"detail": "no batch at all"}', status_code=422))
    async with client(trouble.app) as http:
        intake = Intake(http, patience_s=5, on_retry=lambda _: None)
        with pytest.raises(RequestRefused, match=r"422.*no batch at all"):
            await intake.send(pack(histories(3)))
    assert trouble.requests == 1


async def test_nobody_at_the_address_is_said_at_once() -> None:
    with pytest.raises(NotRunning, match="bitacora up"):
        async with connect("http://127.0.0.1:9"):
            pytest.fail("connected to nothing")


# -------------------------------------------------------------------------------- the command


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_dry_run_with_a_check_as_json() -> None:
    code, out, _ = run("servicenow", str(SAMPLE), "--dry-run", "--check", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["cases"], found["rows"], found["commands"]) == (300, 2_609, 2_215)
    assert found["check"]["equal"] == 283
    assert found["sent"]["rehearsed_only"] is True


def test_the_report_for_people() -> None:
    code, out, _ = run("servicenow", str(SAMPLE), "--dry-run", "--limit", "20")
    assert code == 0
    assert "Dry run: nothing was sent." in out
    assert "u_priority_confirmation" in out


def test_without_a_desk_the_command_says_what_to_do() -> None:
    code, _, err = run("servicenow", str(SAMPLE), "--url", "http://127.0.0.1:9")
    assert code == 3
    assert "bitacora up" in err


def test_a_bad_file_ends_with_code_2(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "a,b\n1,2\n")
    code, _, err = run("servicenow", str(path), "--dry-run")
    assert code == 2
    assert "no column 'number'" in err


def test_a_broken_row_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", csv_text(incident()) + "INC1,short\n")
    code, out, err = run("servicenow", str(path), "--dry-run")
    assert (code, out) == (2, "")
    assert f"{path}: line 3: 2 cells" in err
    assert "one too many? Nothing was sent. Mend the file" in err


def test_beginning_beyond_the_last_case_is_refused() -> None:
    code, out, err = run("servicenow", str(SAMPLE), "--dry-run", "--from", "301")
    assert (code, out) == (2, "")
    assert "--from 301 is beyond the last case; 300 cases" in err


def test_broken_rows_are_reported_and_their_cases_left_out(tmp_path: Path) -> None:
    rows = [*incident(), *incident(number="INC2", priority="none")]
    path = write(tmp_path / "log.csv", csv_text(rows))
    code, out, _ = run("servicenow", str(path), "--dry-run", "--skip-bad-rows", "--json")
    bad = json.loads(out)["bad_rows"]
    assert code == 0
    assert (bad["count"], bad["cases_left_out"], bad["first"][0]["line"]) == (1, 1, 3)


def test_a_log_by_a_mapping_that_comes_along(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "a,b\n1,2\n")
    code, _, err = run("log", str(path), "--mapping", "helpdesk", "--dry-run")
    assert code == 2
    assert "case:concept:name" in err


def test_an_unknown_zone_is_refused() -> None:
    code, _, err = run("servicenow", str(SAMPLE), "--dry-run", "--zone", "Mars/Base")
    assert code == 2
    assert "Mars/Base" in err
