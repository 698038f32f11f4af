"""Mail to agents, through a real SMTP server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from libs.runtime.errors import Poison, Transient
from libs.runtime.localserver import free_port
from services.routing.notify import Facts
from services.routing.notify.model import Message
from services.routing.notify.smtp import SmtpChannel, mail_of
from services.routing.notify.texts import words_of
from tests.routing.notified import START, switchboard, told

SENDER = "desk@desk.example"


@dataclass
class Inbox:
    """An SMTP server's handler: keeps what it takes, and answers as told (then it takes)."""

    port: int = 0
    mails: list[Envelope] = field(default_factory=list)
    to_recipients: list[str] = field(default_factory=list)
    to_data: list[str] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    silent: asyncio.Event | None = None

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd looks for
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.to_recipients:
            return self.to_recipients.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.silent is not None:
            await self.silent.wait()
        if self.to_data:
            return self.to_data.pop(0)
        self.mails.append(envelope)
        self.secured.append(session.ssl is not None)
        return "250 OK"

    def parsed(self) -> list[EmailMessage]:
        return [_parsed(mail.content) for mail in self.mails]


def _parsed(content: bytes | str | None) -> EmailMessage:
    assert isinstance(content, bytes)
    return message_from_bytes(content, policy=policy.default)


@contextlib.asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Inbox]:
    """An SMTP server on a free port; `tls`: encrypted from the start."""
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    made: list[SMTP] = []

    def one() -> SMTP:
        made.append(SMTP(inbox, hostname="mx.desk.example", loop=loop, **options))
        return made[-1]

    server = await loop.create_server(one, "127.0.0.1", 0, ssl=tls)
    inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()
        for session in made:
            if session.transport is not None:
                session.transport.close()
        await server.wait_closed()
        await asyncio.sleep(0)


def channel(inbox: Inbox, **options: Any) -> SmtpChannel:
    return SmtpChannel("127.0.0.1", inbox.port, **{"sender": SENDER, "tls": "none", **options})


def message(**values: Any) -> Message:
    facts = Facts(number=7, priority="high", category="vpn")
    subject, text = words_of("assigned", facts)
    given = {
        "id": "9e651ea4-e914-504e-b5ca-3d416a4f00e0",
        "kind": "assigned",
        "agent": "ana",
        "address": "ana@desk.example",
        "ticket_id": "t1",
        "facts": facts,
        "at": START,
        "now": START,
        "subject": subject,
        "text": text,
        **values,
    }
    return Message(**given)


async def test_a_mail_from_the_queue(database_url: str) -> None:
    async with receiving() as inbox:
        with switchboard(database_url, {"smtp": channel(inbox)}) as board:
            async with board.sending():
                await board.tell(told(), told(agent="bo"))
                rows = await board.in_state("sent", "sent")
    assert sorted(mail.rcpt_tos[0] for mail in inbox.mails) == [
        "ana@desk.example",
        "bo@desk.example",
    ]
    [mail] = [mail for mail in inbox.parsed() if mail["To"] == "ana@desk.example"]
    [row] = [row for row in rows if row.agent == "ana"]
    assert mail["From"] == SENDER
    assert mail["Subject"] == "Ticket #7 is yours (high)"
    assert mail["Message-ID"] == f"<{row.id}@desk.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == START
    assert mail.get_content_type() == "text/plain"
    assert "Category: vpn" in mail.get_content()


async def test_text_in_any_script(sqlite_url: str) -> None:
    facts = Facts(number=7, priority="высокий", category="Ñandú 鳥\r\nBcc: eve@evil.example")
    async with receiving() as inbox:
        with switchboard(sqlite_url, {"smtp": channel(inbox)}) as board:
            async with board.sending():
                await board.tell(told(facts=facts))
                await board.in_state("sent")
    [mail], [envelope] = inbox.parsed(), inbox.mails
    assert mail["Subject"] == "Ticket #7 is yours (высокий)"
    assert "Category: Ñandú 鳥 Bcc: eve@evil.example" in mail.get_content().splitlines()
    assert mail["Bcc"] is None
    assert envelope.rcpt_tos == ["ana@desk.example"]
    assert isinstance(envelope.content, bytes)
    headers, _, _ = envelope.content.partition(b"\r\n\r\n")
    assert headers.isascii()
    assert re.search(rb"(?<!\r)\n", envelope.content) is None


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "ana",
        "@desk.example",
        "ana@",
        "a na@desk.example",
        "ana@desk.example, eve@evil.example",
        "ana@desk.example\r\nBcc: eve@evil.example",
        "ana@desk.example>",
        "Ana <ana@desk.example>",
        "ñandú@desk.example",
    ],
)
def test_an_address_that_cannot_be_used_is_final(address: str | None) -> None:
    with pytest.raises(Poison) as refused:
        mail_of(message(address=address), Address(addr_spec=SENDER))
    assert refused.value.code == ("bad_address" if address else "no_address")


def test_a_domain_in_another_script_is_put_in_ascii() -> None:
    mail = mail_of(message(address="ana@ñandú.example"), Address(addr_spec=SENDER))
    assert str(mail["To"]) == "ana@xn--and-6ma2c.example"


def test_a_subject_with_a_line_break_is_no_header() -> None:
    with pytest.raises(ValueError, match=r"linefeed|newline|CR or LF"):
        mail_of(message(subject="a\r\nBcc: eve@evil.example"), Address(addr_spec=SENDER))


@pytest.mark.parametrize("said_to", ["to_recipients", "to_data"])
async def test_refusals_by_their_code(said_to: str) -> None:
    async with receiving() as inbox:
        getattr(inbox, said_to)[:] = ["451 later", "550 <ana@desk.example>: no such mailbox"]
        with pytest.raises(Transient, match="451: later"):
            await channel(inbox).send(message())
        # What is refused is said on a public log: without the address.
        with pytest.raises(Poison, match=r"550: \[address\] no such mailbox"):
            await channel(inbox).send(message())
        await channel(inbox).send(message())
    assert len(inbox.mails) == 1


async def test_a_server_that_is_away_or_silent_is_tried_again(sqlite_url: str) -> None:
    with pytest.raises(Transient, match="the mail server did not take it"):
        await channel(Inbox(port=free_port())).send(message())
    async with receiving() as inbox:
        inbox.silent = asyncio.Event()
        with pytest.raises(Transient, match=r"within 0\.3 seconds|[Tt]imed out"):
            await channel(inbox, timeout_s=0.3).send(message())
        inbox.silent.set()

    inbox = Inbox(port=free_port())
    with switchboard(sqlite_url, {"smtp": channel(inbox)}) as board:
        async with board.sending():
            await board.tell(told())
            [row] = await board.until(lambda rows: rows[0].reason is not None)
    assert row.state == "waiting"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Logins:
    def __call__(self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any) -> Any:
        known = isinstance(data, LoginPassword) and data.password == b"correct horse"
        return AuthResult(success=known, handled=known)


async def test_starttls_and_a_login(authority: trustme.CA) -> None:
    options: dict[str, Any] = {
        "tls_context": _server_context(authority),
        "require_starttls": True,
        "authenticator": Logins(),
        "auth_required": True,
    }
    trusting = {"tls": "starttls", "context": _trusting(authority), "user": "desk"}
    async with receiving(**options) as inbox:
        await channel(inbox, **trusting, password="correct horse").send(message())
        assert inbox.secured == [True]
        # What the operator can mend is no reason to lose the message.
        with pytest.raises(Transient, match="535"):
            await channel(inbox, **trusting, password="wrong").send(message())
        untrusting = {"tls": "starttls", "user": "desk", "password": "correct horse"}
        with pytest.raises(Transient, match="certificate"):
            await channel(inbox, **untrusting).send(message())
    assert len(inbox.mails) == 1


async def test_starttls_is_demanded() -> None:
    async with receiving() as inbox:
        with pytest.raises(Transient, match="STARTTLS"):
            await channel(inbox, tls="starttls").send(message())
    assert inbox.mails == []


async def test_encrypted_from_the_start(authority: trustme.CA) -> None:
    async with receiving(tls=_server_context(authority)) as inbox:
        await channel(inbox, tls="tls", context=_trusting(authority)).send(message())
    assert len(inbox.mails) == 1
