"""The log of deliveries over HTTP, the texts, and the settings of the second channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from libs.runtime.http import create_http_app
from libs.runtime.settings import SettingsError
from services.routing.notify import KINDS, Facts
from services.routing.notify.api import create_notifications_router
from services.routing.notify.channel import channels_of
from services.routing.notify.model import Kind
from services.routing.notify.settings import NotifySettings
from services.routing.notify.texts import words_of
from services.routing.notify.webhook import WebhookChannel
from tests.routing.notified import START, Hook, Switchboard, listening, switchboard, told


class Settings(NotifySettings, service="routing"):
    pass


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with listening() as hook:
        yield hook


@pytest.fixture
def board(sqlite_url: str, hook: Hook) -> Iterator[Switchboard]:
    with switchboard(sqlite_url, {"webhook": WebhookChannel(hook.url)}) as board:
        yield board


@pytest.fixture
async def http(board: Switchboard) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_http_app("routing", readiness=ready)
    app.include_router(create_notifications_router(board.store, board.queue))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
        yield client


async def test_the_log_and_another_try(
    http: httpx.AsyncClient, board: Switchboard, hook: Hook
) -> None:
    hook.statuses = [400]
    async with board.sending():
        await board.tell(told("t1:1"))
        [failed] = await board.in_state("failed")
        board.clock.advance(1)
        due = START + timedelta(hours=2)
        await board.tell(told("t2:1", agent="bo", ticket_id="t2", facts=Facts(number=8, due=due)))
        await board.in_state("failed", "sent")

        answer = (await http.get("/v1/notifications")).json()
        assert answer["channels"] == ["webhook"]
        assert [entry["ticket_id"] for entry in answer["notifications"]] == ["t2", "t1"]
        assert answer["notifications"][0] == {
            "id": hook.keys()[1],
            "kind": "assigned",
            "agent": "bo",
            "ticket_id": "t2",
            "facts": {"number": 8, "due": "2026-03-02T11:00:00Z"},
            "at": "2026-03-02T09:00:00Z",
            "channel": "webhook",
            "state": "sent",
            "attempts": 1,
            "next_try": None,
            "sent": "2026-03-02T09:00:01Z",
            "reason": None,
        }
        for name, value in {"agent": "ana", "state": "failed", "ticket": "t1"}.items():
            found = (await http.get("/v1/notifications", params={name: value})).json()
            assert [entry["id"] for entry in found["notifications"]] == [failed.id]
            assert found["notifications"][0]["reason"] == "the webhook answered 400"

        again = await http.post(f"/v1/notifications/{failed.id}/retry")
        assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (
            200,
            "waiting",
            0,
        )
        await board.in_state("sent", "sent")
    assert hook.keys().count(failed.id) == 2
    assert [fact.outcome for fact in board.said()] == ["failed", "sent", "sent"]


async def test_what_cannot_be_tried_again(
    http: httpx.AsyncClient, board: Switchboard, hook: Hook
) -> None:
    hook.statuses = [400]
    unknown = await http.post("/v1/notifications/nothing/retry")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_notification")
    await board.tell(told())
    [row] = board.rows()
    early = await http.post(f"/v1/notifications/{row.id}/retry")
    assert (early.status_code, early.json()["code"]) == (409, "not_failed")
    async with board.sending():
        await board.in_state("failed")
    board.queue.channels = ("smtp",)
    gone = await http.post(f"/v1/notifications/{row.id}/retry")
    assert (gone.status_code, gone.json()["code"]) == (409, "channel_not_set_up")
    for wrong in ({"state": "lost"}, {"limit": 0}, {"limit": 1_001}, {"agent": "a" * 201}):
        assert (await http.get("/v1/notifications", params=wrong)).status_code == 422


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words_with_and_without_facts(kind: Kind) -> None:
    facts = Facts(
        number=7,
        priority="high",
        category="vpn",
        queue="first line",
        due=START,
        until=START,
        reason="out_of_office",
        count=4,
    )
    for given in (facts, Facts(), Facts(reason="a new_word\nX: y", category="a\u202eb" * 200)):
        subject, text = words_of(kind, given)
        assert subject.isprintable()
        assert len(subject) <= 200
        assert all(line.isprintable() for line in text.splitlines())
        assert "None" not in subject + text
        assert "_" not in text
        assert max(map(len, text.splitlines())) < 400
    subject, text = words_of(kind, facts)
    assert ("#7" in subject) == (kind != "presence_lowered")
    assert (
        "Priority: high\nCategory: vpn\nQueue: first line\nDue: 2026-03-02 09:00:00 UTC\n" in text
    )


MAIL: dict[str, Any] = {
    "notify_smtp_host": "mx.desk.example",
    "notify_smtp_from": "desk@desk.example",
}
HOOK: dict[str, Any] = {"notify_webhook_url": "https://chat.desk.example/hook"}


def test_which_channels_are_set_up(tmp_path: Path) -> None:
    def names(**values: Any) -> list[str]:
        return list(channels_of(Settings(data_dir=tmp_path, **values)))

    assert names() == []
    assert names(**MAIL) == ["smtp"]
    assert names(**HOOK) == ["webhook"]
    assert names(**MAIL, **HOOK) == ["smtp", "webhook"]
    assert Settings(notify_kinds="offered, sla").kinds_told == {"offered", "sla"}
    assert Settings().kinds_told == set(KINDS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"notify_smtp_host": "mx"}, "NOTIFY_SMTP_FROM must be set"),
        (MAIL | {"notify_smtp_from": "desk"}, "must be one address"),
        (MAIL | {"notify_smtp_from": "a@b\r\nBcc: c@d"}, "must be one address"),
        (MAIL | {"notify_smtp_user": "desk"}, "must be set together"),
        (MAIL | {"notify_smtp_tls": "ssl"}, "NOTIFY_SMTP_TLS"),
        (
            MAIL
            | {"notify_smtp_tls": "none", "notify_smtp_user": "a", "notify_smtp_password": "hush"},
            "sent readable",
        ),
        ({"notify_webhook_url": "ftp://hush.example/"}, "must begin with http"),
        ({"notify_webhook_url": "https:///hush"}, "must begin with http"),
        (HOOK | {"notify_webhook_secret": "hush"}, "at least 16 characters"),
        (HOOK | {"notify_webhook_secret": "whsec_hush, hush, hush"}, "base64"),
        ({"notify_kinds": "assigned,gossip"}, "there is no kind 'gossip'"),
        ({"notify_attempts": 0}, "NOTIFY_ATTEMPTS"),
    ],
)
def test_wrong_settings_say_what_to_do_and_no_secret(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        Settings(**values)
    assert "hush" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    settings = Settings(
        **MAIL, notify_smtp_user="desk", notify_smtp_password=SecretStr("hush"), **HOOK
    )
    assert "hush" not in repr(settings)
    assert "chat.desk" not in repr(settings)
