"""How values lie in routing's columns: instants as whole microseconds since 1970 in UTC, lists and
maps as JSON text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json

from libs.events.base import Channel
from services.routing.domain.instants import instant, micros

__all__ = ["CHANNELS", "instant_of", "json_text", "micros"]

CHANNELS: Final = {channel.value: channel for channel in Channel}


def instant_of(value: int | None) -> datetime | None:
    return None if value is None else instant(value)


def json_text(value: Sequence[Any] | Mapping[Any, Any]) -> str:
    return to_json(value).decode()
