"""Asking a running desk over HTTP, for the subcommands that do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import httpx

from cli.output import CommandError, NotRunning, UsageError
from cli.system import service_url
from libs.events import EventEnvelope, parse_time

TIMEOUT_S: Final = 30.0
DIGITS_MAX: Final = 18


class Desk:
    """The services' HTTP APIs. Every method raises NotRunning when nothing answers, and
    CommandError with the service's own words when it refuses."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, service: str, path: str, **query: Any) -> Any:
        """The JSON at `path` of `service`; query values that are None are left out."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", service, path, params=wanted)

    def put(self, service: str, path: str, body: bytes, *, actor: str, **headers: str) -> Any:
        """Puts `body`, which is JSON, to `path` of `service` as `actor`; returns the JSON that is
        answered. `headers` in Python's spelling: if_match="…"."""
        return self._send("PUT", service, path, body, actor, headers)

    def post(self, service: str, path: str, body: bytes, *, actor: str, **headers: str) -> Any:
        """As `put`, by POST."""
        return self._send("POST", service, path, body, actor, headers)

    def _send(
        self,
        method: str,
        service: str,
        path: str,
        body: bytes,
        actor: str,
        headers: Mapping[str, str],
    ) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"X-Bitacora-Actor": actor, "Content-Type": "application/json"}
        return self._ask(method, service, path, content=body, headers=sent)

    def _ask(self, method: str, service: str, path: str, **request: Any) -> Any:
        url = service_url(service, self._data_dir)
        try:
            answer = self._http.request(method, url + path, **request)
        except httpx.TransportError as error:
            raise NotRunning(
                f"{service} does not answer at {url} ({type(error).__name__}):"
                " start it with `bitacora up`, or name its files with --data-dir"
            ) from None
        if answer.is_success:
            return answer.json()
        raise CommandError(f"{service} says: {_problem(answer)}")

    def ticket_id(self, name: str) -> str:
        """The id of the ticket that `name` means: an id, a number (`12` or `#12`), or the name that
        it had in the system it was imported from. Raises CommandError when there is none."""
        try:
            return str(UUID(name))
        except ValueError:
            pass
        digits = name.removeprefix("#")
        if digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX:
            return str(self.get("intake", f"/v1/tickets/by-number/{digits}")["id"])
        found = self.get("reporting", "/v1/tickets", external_ref=name, limit=2)["tickets"]
        if not found:
            raise CommandError(
                f"there is no ticket {name!r}; give its id, its number, or its imported name"
            )
        if len(found) > 1:
            raise UsageError(f"several tickets are named {name!r}; give the number or the id")
        return str(found[0]["id"])

    def history(self, ticket_id: str) -> list[EventEnvelope]:
        """The ticket's events, oldest first, as intake recorded them."""
        events: list[dict[str, Any]] = []
        more = True
        while more:
            page = self.get("intake", f"/v1/tickets/{ticket_id}/history", after=len(events))
            events += page["events"]
            more = page["more"]
        return [envelope_of(ticket_id, event) for event in events]


def envelope_of(ticket_id: str, event: dict[str, Any]) -> EventEnvelope:
    """The envelope of one entry of intake's history."""
    from pydantic_core import to_json

    return EventEnvelope(
        source=event.get("source") or "/bitacora/intake",
        type=event["type"],
        stream_id=ticket_id,
        sequence=event["sequence"],
        position=event.get("position") or 0,
        time=parse_time(event["time"]),
        recorded_time=parse_time(event["recorded_time"]),
        actor=event["actor"],
        correlation_id=event.get("correlation_id") or "",
        causation_id=event.get("causation_id") or "",
        previous_hash=event.get("previous_hash") or "",
        hash=event.get("hash") or "",
        data=to_json(event["data"]),
    )


def _problem(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
