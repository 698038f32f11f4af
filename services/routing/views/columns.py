"""How values lie in routing's columns: instants as whole microseconds since 1970 in UTC, lists and
maps as JSON text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json

from libs.events.base import Channel

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
CHANNELS: Final = {channel.value: channel for channel in Channel}


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND


def instant_of(value: int | None) -> datetime | None:
    return None if value is None else EPOCH + timedelta(microseconds=value)


def json_text(value: Sequence[Any] | Mapping[Any, Any]) -> str:
    return to_json(value).decode()
