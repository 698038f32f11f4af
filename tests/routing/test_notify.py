"""Agents are told: the durable queue, its senders, and the webhook, over real servers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic_core import from_json

from libs.runtime.localserver import free_port
from services.routing.notify import Facts, Notification
from services.routing.notify.queue import DELAY_S_MAX, delay_s
from services.routing.notify.webhook import WebhookChannel
from tests.routing.notified import SECRET, START, Hook, listening, switchboard, told

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with listening() as hook:
        yield hook


async def test_what_is_enqueued_is_sent_once_and_said(database_url: str, hook: Hook) -> None:
    with switchboard(database_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():
            await board.tell(told("t1:2"), told("t1:9", agent="bo", kind="taken_back"))
            await board.tell(told("t1:2"))
            rows = await board.in_state("sent", "sent")
            await board.tell(told("t1:2"), told("t2:1"))
            await board.until(lambda _: board.counted("sent") == 3)
        assert sorted(hook.keys()) == sorted(row.id for row in board.rows())
        assert {row.attempts for row in rows} == {1}
        assert {row.sent for row in rows} == {START}
        facts = board.said()
        assert [fact.outcome for fact in facts] == ["sent"] * 3
        assert {fact.notification_id for fact in facts} == set(hook.keys())
        assert {row.state for row in board.rows()} == {"sent"}


async def test_the_request_is_as_described_and_signed(sqlite_url: str, hook: Hook) -> None:
    channel = WebhookChannel(hook.url, secret=SECRET)
    with switchboard(sqlite_url, {"webhook": channel}) as board:
        async with board.sending():
            await board.tell(told())
            [row] = await board.in_state("sent")
    [headers], [body] = hook.headers, hook.bodies
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == headers["webhook-id"] == row.id
    assert headers["webhook-timestamp"] == str(int(START.timestamp()))
    signed = f"{row.id}.{headers['webhook-timestamp']}.".encode() + body
    key = b"0123456789abcdef0123456789abcdef"
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    facts = {"number": 7, "priority": "high", "category": "vpn", "queue": "first line"}
    sent = from_json(body)
    assert "Ticket #7 was assigned to you." in sent.pop("text")
    assert sent == {
        "id": row.id,
        "kind": "assigned",
        "agent": "ana",
        "ticket_id": "t1",
        "at": "2026-03-02T09:00:00Z",
        "facts": facts,
        "subject": "Ticket #7 is yours (high)",
    }


async def test_without_a_secret_nothing_is_signed(sqlite_url: str, hook: Hook) -> None:
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():
            await board.tell(told())
            await board.in_state("sent")
    assert not {"webhook-signature", "webhook-timestamp"} & set(hook.headers[0])


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_another_try_after_a_passing_failure(
    sqlite_url: str, hook: Hook, status: int
) -> None:
    hook.statuses = [status, status]
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():
            await board.tell(told())
            [row] = await board.until(lambda rows: rows[0].reason is not None)
            assert (row.state, row.reason) == ("waiting", f"the webhook answered {status}")
            assert row.next_try is not None
            assert (row.next_try - START).total_seconds() == 60
            board.advance(60)
            await hook.has(2)
            await board.until(lambda rows: rows[0].attempts == 2)
            board.advance(120)
            [row] = await board.in_state("sent")
        assert row.attempts == 3
        assert len(set(hook.keys())) == 1
        assert [fact.attempts for fact in board.said()] == [3]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "the webhook answered 400"),
        (410, "the webhook answered 410"),
        (307, "the webhook answered 307: redirects are not followed, so set the final address"),
    ],
)
async def test_a_lasting_failure_is_final_at_once(
    sqlite_url: str, hook: Hook, status: int, reason: str
) -> None:
    hook.statuses = [status]
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():
            await board.tell(told())
            [row] = await board.in_state("failed")
        assert (row.attempts, row.reason, row.next_try) == (1, reason, None)
        assert len(hook.bodies) == 1
        [fact] = board.said()
        assert (fact.outcome, fact.reason, fact.agent) == ("failed", reason, "ana")


async def test_nobody_there_and_no_answer_are_passing_failures(sqlite_url: str, hook: Hook) -> None:
    hook.held = asyncio.Event()
    channels = {
        "webhook": WebhookChannel(f"http://127.0.0.1:{free_port()}/?token=secret"),
        "slow": WebhookChannel(hook.url, timeout_s=0.2),
    }
    with switchboard(sqlite_url, channels, attempts_max=1) as board:
        async with board.sending():
            await board.tell(told())
            rows = await board.in_state("failed", "failed")
        hook.held.set()
        reasons = {row.channel: row.reason for row in rows}
        assert reasons == {
            "webhook": "the webhook cannot be reached (ConnectError)",
            "slow": "the webhook did not answer within 0.2 seconds",
        }


def test_the_schedule_takes_about_a_day() -> None:
    delays = [delay_s(attempt) for attempt in range(1, 14)]
    assert delays[:4] == [60, 120, 240, 480]
    assert max(delays) == DELAY_S_MAX
    assert 24 <= sum(delays) / 3600 <= 25


async def test_it_gives_up_after_the_last_attempt(sqlite_url: str, hook: Hook) -> None:
    hook.statuses = [503] * 3
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url)}, attempts_max=3) as board:
        async with board.sending():
            await board.tell(told())
            for attempt in (1, 2):
                await hook.has(attempt)
                await board.until(lambda rows: rows[0].reason is not None)
                board.advance(delay_s(attempt))
            [row] = await board.in_state("failed")
        assert row.attempts == 3


async def test_nothing_is_told_of_what_was_rolled_back(database_url: str, hook: Hook) -> None:
    with switchboard(database_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():

            def refused(connection: object, _: object) -> None:
                board.queue.enqueue(connection, [told("t1:2")])  # type: ignore[arg-type]
                raise ValueError("refused")

            with pytest.raises(ValueError, match="refused"):
                await board.store.write(refused)
            await board.tell(told("t1:3"))
            await board.in_state("sent")
        assert len(hook.bodies) == 1


async def test_a_slow_receiver_holds_up_no_transaction(database_url: str, hook: Hook) -> None:
    hook.held = asyncio.Event()
    with switchboard(database_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():
            await board.tell(*(told(f"t{n}:1") for n in range(20)))
            await hook.has(8)
            async with asyncio.timeout(5):
                await board.tell(told("t1:99", kind="taken_back"))
                assert await board.store.read(lambda _: True)
            assert len(hook.bodies) == 8
            hook.held.set()
            await board.in_state(*["sent"] * 21)
        assert len(set(hook.keys())) == len(hook.keys()) == 21


async def test_killed_between_sending_and_marking_it_sends_the_same_again(
    database_url: str, hook: Hook
) -> None:
    with switchboard(database_url, {"webhook": WebhookChannel(hook.url)}) as board:
        await board.tell(told())
        program = [sys.executable, "-m", "tests.routing.notified"]
        url = board.store.database.url.render_as_string(hide_password=False)
        process = subprocess.Popen([*program, url, hook.url], cwd=ROOT)  # noqa: ASYNC220
        hook.on_request = lambda: os.kill(process.pid, signal.SIGKILL)
        await hook.has(1)
        await asyncio.to_thread(process.wait, 20)
        hook.on_request = None
        assert [(row.state, row.attempts) for row in board.rows()] == [("waiting", 1)]
        assert board.said() == []

        async with board.sending():
            board.advance(60)
            [row] = await board.in_state("sent")
        assert hook.keys() == [row.id, row.id]
        assert hook.bodies[0] == hook.bodies[1]
        assert [fact.attempts for fact in board.said()] == [2]


async def test_one_that_kills_its_sender_each_time_is_given_up(sqlite_url: str, hook: Hook) -> None:
    hook.held = asyncio.Event()
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url)}, attempts_max=2) as board:
        await board.tell(told())
        for attempt in (1, 2):
            async with board.sending():
                await hook.has(attempt)
            board.clock.advance(delay_s(attempt))
        async with board.sending():
            [row] = await board.in_state("failed")
        hook.held.set()
        assert row.reason == "the service ended during each of its attempts"
        assert len(hook.bodies) == 2


async def test_a_restart_keeps_the_queue(database_url: str, hook: Hook) -> None:
    with switchboard(database_url, {"webhook": WebhookChannel(hook.url)}) as board:
        await board.tell(*(told(f"t{n}:1") for n in range(30)))
    with switchboard(database_url, {"webhook": WebhookChannel(hook.url)}) as board:
        async with board.sending():
            await board.in_state(*["sent"] * 30)
    assert len(set(hook.keys())) == len(hook.keys()) == 30


async def test_two_processes_send_each_once(database_url: str, hook: Hook) -> None:
    channels = {"webhook": WebhookChannel(hook.url)}
    others = {"webhook": WebhookChannel(hook.url)}
    with (
        switchboard(database_url, channels) as one,
        switchboard(database_url, others) as two,
    ):
        async with one.sending(), two.sending():
            for n in range(40):
                board = (one, two)[n % 2]
                await board.tell(*(told(f"t{n}:{part}") for part in range(5)), told(f"t{n - 1}:1"))
            await one.until(lambda _: one.counted("sent") + two.counted("sent") == 201)
        assert len(set(hook.keys())) == len(hook.keys()) == 201
        assert len(one.said()) == 201
        assert {row.state for row in one.rows()} == {"sent"}
        assert min(one.counted("sent"), two.counted("sent")) > 0


async def test_each_channel_by_itself(sqlite_url: str, hook: Hook) -> None:
    """One channel that does not get through does not hold up the other, nor repeat it."""
    dead = WebhookChannel(f"http://127.0.0.1:{free_port()}/")
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url), "dead": dead}) as board:
        async with board.sending():
            await board.tell(*(told(f"t{n}:1") for n in range(20)))
            rows = await board.in_state(*["sent"] * 20, *["waiting"] * 20)
        assert {(row.channel, row.state) for row in rows} == {
            ("webhook", "sent"),
            ("dead", "waiting"),
        }
        assert len({row.id for row in rows}) == 40


async def test_without_channels_it_is_skipped_and_visible(database_url: str) -> None:
    with switchboard(database_url, {}) as board:
        async with board.sending():
            await board.tell(told())
        [row] = board.rows()
        assert (row.state, row.channel, row.reason) == ("skipped", None, "no channel is set up")


async def test_what_is_not_to_be_told_is_not(sqlite_url: str, hook: Hook) -> None:
    channels = {"webhook": WebhookChannel(hook.url)}
    with switchboard(sqlite_url, channels, kinds=("offered", "taken_back")) as board:
        old = told("t2:1", kind="taken_back")
        over = told("t3:1", kind="offered", facts=Facts(number=3, until=START))
        board.clock.advance(30)
        async with board.sending():
            await board.tell(told("t1:1"), over)
            [row] = await board.in_state("skipped")
            assert row.reason == "the offer had ended before it could be told"
            board.clock.advance(86_400)
            await board.tell(old)
            rows = await board.in_state("skipped", "skipped")
        assert rows[0].reason == "it was old news when it was processed"
        assert hook.bodies == []


async def test_a_channel_that_was_taken_away_leaves_nothing_waiting(database_url: str) -> None:
    dead = WebhookChannel(f"http://127.0.0.1:{free_port()}/")
    with switchboard(database_url, {"webhook": dead}) as board:
        await board.tell(told())
    with switchboard(database_url, {}) as board:
        async with board.sending():
            [row] = await board.in_state("skipped")
        assert row.reason == "the channel webhook is no longer set up"
        assert [fact.outcome for fact in board.said()] == ["skipped"]


async def test_the_log_is_kept_for_some_days(database_url: str, hook: Hook) -> None:
    channels = {"webhook": WebhookChannel(hook.url)}
    with switchboard(database_url, channels, keep_days=10) as board:
        async with board.sending():
            await board.tell(told("t1:1"))
            await board.in_state("sent")
            board.clock.advance(9 * 86_400)
            await board.tell(_now(board.clock.now(), "t2:1"))
            await board.in_state("sent", "sent")
        board.clock.advance(2 * 86_400)
        async with board.sending():
            [row] = await board.until(lambda rows: len(rows) == 1)
        assert row.ticket_id == "t2"


def _now(instant: object, cause: str) -> Notification:
    return told(cause, at=instant, ticket_id="t2")
