"""Mail: one message per notification, through the desk's mail server."""

from __future__ import annotations

import asyncio
import re
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused

from libs.runtime.errors import Poison, Transient
from services.routing.notify.model import Message
from services.routing.notify.settings import Tls

TIMEOUT_S: Final = 20.0
_ADDRESS: Final = re.compile(r"\S+@\S+")
PERMANENT: Final = 500
"""Reply codes from here on are final (RFC 5321, section 4.2.1)."""


class SmtpChannel:
    """Connects for each mail. `tls` "starttls" demands it: a server without it gets nothing.

    A recipient or a text that the server refuses for good is Poison; so is an agent without an
    address. What the operator can mend (login, sender, certificate, a server that is away) is
    Transient. The Message-ID derives from the notification's id.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        tls: Tls,
        user: str | None = None,
        password: str | None = None,
        context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = Address(addr_spec=sender)
        self._tls = tls
        self._user = user
        self._password = password
        self._context = context
        self._timeout_s = timeout_s

    async def send(self, message: Message) -> None:
        mail = mail_of(message, self._sender)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._hand_over(mail)
        except SMTPRecipientsRefused as error:
            code, said = error.recipients[0].code, error.recipients[0].message
            raise _refusal("recipient_refused", code, said) from error
        except SMTPDataError as error:
            raise _refusal("mail_refused", error.code, error.message) from error
        except (SMTPException, OSError, TimeoutError) as error:
            said = str(error) or f"no answer within {self._timeout_s:g} seconds"
            detail = f"the mail server did not take it: {_quoted(said)}"
            raise Transient("mail_server", detail) from error

    async def close(self) -> None:
        """Nothing is kept open between two mails."""

    async def _hand_over(self, mail: EmailMessage) -> None:
        await aiosmtplib.send(
            mail,
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._tls == "tls",
            start_tls=self._tls == "starttls",
            tls_context=self._context,
            timeout=self._timeout_s,
        )


def mail_of(message: Message, sender: Address) -> EmailMessage:
    """The mail, complete. Raises Poison when the agent has no usable address.

    Header values are single lines: `EmailMessage` refuses others, and `texts` makes none.
    """
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = _address(message)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.now)
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice answers it
    mail.set_content(message.text)
    return mail


def _address(message: Message) -> Address:
    if not message.address:
        raise Poison("no_address", f"agent {message.agent!r} has no e-mail address")
    try:
        # The domain in ASCII, so that no mail server needs SMTPUTF8 for it.
        local, _, domain = message.address.rpartition("@")
        return Address(addr_spec=f"{local}@{domain.encode('idna').decode()}")
    except (MessageError, ValueError, IndexError) as error:
        detail = f"the e-mail address of agent {message.agent!r} cannot be used; correct it"
        raise Poison("bad_address", detail) from error


def _refusal(code: str, status: int, said: str) -> Poison | Transient:
    kind = Poison if status >= PERMANENT else Transient
    return kind(code, f"the mail server answered {status}: {_quoted(said)}")


def _quoted(said: str) -> str:
    """What a server said, in one line and without addresses: it is kept, and published."""
    return " ".join(_ADDRESS.sub("[address]", said).split())
