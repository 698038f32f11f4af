"""Telling agents of their work by a second channel: a durable queue, SMTP, a webhook.

`Notifications.enqueue` is called inside the transaction that makes an agent's work change; what it
writes is sent later, by a task of its own, outside of any transaction. README.md tells the rest.
"""

from services.routing.notify.model import KINDS, Facts, Kind, Notification
from services.routing.notify.queue import Notifications

__all__ = ["KINDS", "Facts", "Kind", "Notification", "Notifications"]
