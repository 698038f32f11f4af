"""What a channel is: one way to an agent. Those that are set up are named by their settings."""

from __future__ import annotations

from typing import Protocol

from services.routing.notify.model import Message
from services.routing.notify.settings import NotifySettings
from services.routing.notify.smtp import SmtpChannel
from services.routing.notify.webhook import WebhookChannel


class Channel(Protocol):
    """`send` returns when the other side has taken the message over.

    It raises Transient (`libs.runtime.errors`) when another try may succeed and Poison when none
    can; their `detail` is kept in the log of deliveries. It is called many times at once, ends in
    bounded time, and may be given a message again that it has sent: with the same `id`.
    """

    async def send(self, message: Message) -> None: ...

    async def close(self) -> None:
        """Let go of connections; `send` may be called again afterwards."""


def channels_of(settings: NotifySettings) -> dict[str, Channel]:
    """The channels that are set up, by name. Connects to nothing yet."""
    channels: dict[str, Channel] = {}
    if settings.notify_smtp_host is not None and settings.notify_smtp_from is not None:
        password = settings.notify_smtp_password
        channels["smtp"] = SmtpChannel(
            settings.notify_smtp_host,
            settings.notify_smtp_port,
            sender=settings.notify_smtp_from,
            tls=settings.notify_smtp_tls,
            user=settings.notify_smtp_user,
            password=password.get_secret_value() if password else None,
        )
    if settings.notify_webhook_url is not None:
        secret = settings.notify_webhook_secret
        channels["webhook"] = WebhookChannel(
            settings.notify_webhook_url.get_secret_value(),
            secret=secret.get_secret_value() if secret else None,
        )
    return channels
