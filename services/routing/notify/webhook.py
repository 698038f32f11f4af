"""A webhook: every notification as JSON to one address of the desk's own (a chat, a pager)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
from pydantic_core import to_json

from libs.runtime.errors import Poison, Transient
from services.routing.notify.model import Message
from services.routing.notify.signing import key_of, sign

TIMEOUT_S: Final = 10.0
AGAIN: Final = frozenset({408, 425, 429})
"""Statuses below 500 after which another try may succeed."""


class WebhookChannel:
    """POSTs to `url`; follows no redirects; reads nothing of the answer but its status.

    2xx: sent. 408, 425, 429, 5xx, a time-out or no connection: Transient. Any other: Poison.
    With a `secret` each request is signed anew (its time stamp is that of the attempt).
    """

    def __init__(
        self, url: str, *, secret: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url = url
        self._key = None if secret is None else key_of(secret)
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def send(self, message: Message) -> None:
        body = to_json(body_of(message))
        status = await self._post(body, self._headers(message, body))
        if 200 <= status < 300:  # noqa: PLR2004 - success, as HTTP defines it
            return
        detail = f"the webhook answered {status}"
        if status in AGAIN or status >= 500:  # noqa: PLR2004 - the server's own trouble
            raise Transient("webhook_status", detail)
        if 300 <= status < 400:  # noqa: PLR2004 - redirection
            detail += ": redirects are not followed, so set the final address"
        raise Poison("webhook_status", detail)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        if self._client is None:
            self._client = httpx.AsyncClient(follow_redirects=False, timeout=self._timeout_s)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                return answer.status_code
        except TimeoutError as error:
            detail = f"the webhook did not answer within {self._timeout_s:g} seconds"
            raise Transient("webhook_timeout", detail) from error
        except httpx.HTTPError as error:
            # The class alone: the text may repeat the address, which may hold a token.
            detail = f"the webhook cannot be reached ({type(error).__name__})"
            raise Transient("webhook_unreachable", detail) from error

    def _headers(self, message: Message, body: bytes) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "user-agent": "bitacora-routing",
            "idempotency-key": message.id,
            "webhook-id": message.id,
        }
        if self._key is not None:
            timestamp = int(message.now.timestamp())
            headers["webhook-timestamp"] = str(timestamp)
            headers["webhook-signature"] = sign(self._key, message.id, timestamp, body)
        return headers


def body_of(message: Message) -> dict[str, Any]:
    """The body; README.md of this package is its description. Fields are added, never changed."""
    return {
        "id": message.id,
        "kind": message.kind,
        "agent": message.agent,
        "ticket_id": message.ticket_id,
        "at": message.at,
        "facts": message.facts.known(),
        "subject": message.subject,
        "text": message.text,
    }
