"""Reading the times of a log: several formats, one zone, and the answer in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.envelope import format_time

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNITS_PER_SECOND: Final[Mapping[str, int]] = {
    "epoch_s": 1,
    "epoch_ms": 1_000,
    "epoch_us": 1_000_000,
}
REMEMBERED: Final = 200_000
"""Texts kept with their times: logs repeat theirs."""

Moment = tuple[datetime, str]
"""A point in time, and the same as RFC 3339 text in UTC."""


class TimeReader:
    """`formats` are tried in order: `iso`, `epoch_s`, `epoch_ms`, `epoch_us`, or one for strptime.

    A time without a zone is local in `zone`. `odd_hours` counts local times that the clock showed
    twice or never (a change to or from summer time): the first of two is taken.
    """

    def __init__(
        self, formats: Sequence[str], zone: str = "UTC", replace: Mapping[str, str] | None = None
    ) -> None:
        self._formats = tuple(formats)
        self._zone = UTC if zone == "UTC" else ZoneInfo(zone)
        self._replace = dict(replace or {})
        self._known: dict[str, tuple[datetime, str, bool]] = {}
        self.odd_hours = 0

    def read(self, text: str) -> Moment:
        """Raises ValueError with what to do when no format fits."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[text] = self._read(text)
        self.odd_hours += known[2]
        return known[0], known[1]

    def _read(self, text: str) -> tuple[datetime, str, bool]:
        plain = text.strip()
        for old, new in self._replace.items():
            plain = plain.replace(old, new)
        for form in self._formats:
            try:
                moment = _parse(plain, form)
                odd = False
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=self._zone)
                    odd = moment.utcoffset() != moment.replace(fold=1).utcoffset()
                moment = moment.astimezone(UTC)
                return moment, format_time(moment), odd
            except (ValueError, OverflowError, InvalidOperation):
                continue
        raise ValueError(f"{text[:60]!r} is not a time of the form {' or '.join(self._formats)}")


def _parse(text: str, form: str) -> datetime:
    if form == "iso":
        return datetime.fromisoformat(text)
    if form in UNITS_PER_SECOND:
        number = Decimal(text)
        if not number.is_finite() or abs(number) > 10**18:
            raise ValueError(text)
        return EPOCH + timedelta(microseconds=int(number * 1_000_000 / UNITS_PER_SECOND[form]))
    return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is put on by the caller
