"""What the address of a page asks for: period, zone, filters, comparison, kind of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

from libs.events import Channel, Priority
from libs.runtime.errors import Poison
from services.reporting.domain import HOUR_US, instant_of, microseconds
from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.parts import link
from services.reporting.report.model import Granularity, TimeKind
from services.reporting.report.zones import zone_of

RANGES: Final = {
    "24h": N_("24 hours"),
    "7d": N_("7 days"),
    "30d": N_("30 days"),
    "90d": N_("90 days"),
    "12m": N_("12 months"),
    "all": N_("All"),
}
DAYS: Final = {"7d": 7, "30d": 30, "90d": 90}
WEEKS: Final = {"12m": 52}
"""From a Monday on, so that no week of the charts is cut."""
DEFAULT_RANGE: Final = "30d"
DIMENSIONS: Final = ("channel", "group", "category", "priority")
"""What every page can be filtered by."""
KNOWN: Final = frozenset(
    ("range", "from", "to", "zone", "compare", "time", "lang", "theme", *DIMENSIONS)
)
VALUES: Final = {
    "channel": frozenset(value.value for value in Channel),
    "priority": frozenset(value.value for value in Priority),
}
TEXT_MAX: Final = 200
_FEW_HOURS: Final = 50
_MANY_DAYS: Final = 100
_MANY_WEEKS: Final = 370
_YEARS: Final = 3700
_ALMOST: Final = 10
"""A period before may lack one part of so many: a desk begins in the morning, not at midnight."""


@dataclass(frozen=True, slots=True)
class View:
    """`first` and `last` (both included) are given when the period is free; `range` is "" then.
    `problems` says what in the address could not be understood and is left out."""

    range: str = DEFAULT_RANGE
    first: date | None = None
    last: date | None = None
    zone: str = "UTC"
    filters: tuple[tuple[str, str], ...] = ()
    compare: bool = False
    time: TimeKind = "calendar"
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """As the address has them; what is as usual is not there."""
        return {
            "range": "" if self.range == DEFAULT_RANGE else self.range,
            "from": self.first.isoformat() if self.first else "",
            "to": self.last.isoformat() if self.last else "",
            "zone": "" if self.zone == "UTC" else self.zone,
            "compare": "1" if self.compare else "",
            "time": "" if self.time == "calendar" else self.time,
            **dict(self.filters),
        }

    def address(self, path: str, **changes: Any) -> str:
        """This view on another page, or changed: an empty value takes a parameter out."""
        return link(path, {**self.parameters, **changes})


def view_of(parameters: Mapping[str, str]) -> View:
    """Reads the address. What makes no sense is named and left out, never half applied."""
    given = {name: value.strip() for name, value in parameters.items() if value.strip()}
    problems = [_("unknown: {name}").format(name=n[:40]) for n in sorted(given.keys() - KNOWN)]
    range_, first, last = _period(given, problems)
    return View(
        range_,
        first,
        last,
        _zone(given, problems),
        _filters(given, problems),
        _one_of(given, "compare", ("0", "1"), problems) == "1",
        "business"
        if _one_of(given, "time", get_args(TimeKind), problems) == "business"
        else "calendar",
        tuple(problems),
    )


def _period(given: Mapping[str, str], problems: list[str]) -> tuple[str, date | None, date | None]:
    first, last = (_date(given, name, problems) for name in ("from", "to"))
    if first and last and first > last:
        problems.append(_("the period ends before it begins"))
        first = last = None
    range_ = _one_of(given, "range", tuple(RANGES), problems)
    if first or last:
        return "", first, last
    return range_ or DEFAULT_RANGE, None, None


def _date(given: Mapping[str, str], name: str, problems: list[str]) -> date | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = date.min
    if not 1970 <= found.year <= 9000:  # noqa: PLR2004 - years that every zone and database has
        problems.append(_("{value} is not a date like 2026-01-31").format(value=text[:40]))
        return None
    return found


def _zone(given: Mapping[str, str], problems: list[str]) -> str:
    name = given.get("zone", "UTC")
    try:
        zone_of(name)
    except Poison:
        problems.append(_("there is no time zone {value}").format(value=name[:40]))
        return "UTC"
    return name


def _filters(given: Mapping[str, str], problems: list[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for name in DIMENSIONS:
        value = given.get(name, "")
        allowed = VALUES.get(name)
        if (allowed and value and value not in allowed) or len(value) > TEXT_MAX or "\0" in value:
            problems.append(
                _("{name} cannot be {value}").format(name=name, value=value[:40].replace("\0", "?"))
            )
        elif value:
            found.append((name, value))
    return tuple(found)


def _one_of(
    given: Mapping[str, str], name: str, allowed: tuple[str, ...], problems: list[str]
) -> str:
    value = given.get(name, "")
    if not value or value in allowed:
        return value
    problems.append(_("{name} cannot be {value}").format(name=name, value=value[:40]))
    return ""


# ---- periods ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """`start_us` is included, `end_us` is not; None: from the first fact on."""

    start_us: int | None
    end_us: int
    granularity: Granularity
    comparable: bool = True
    """There are facts of the whole period before."""


def period_of(view: View, *, first_us: int | None, last_us: int) -> Period:
    """The instants that the view's period means, for facts from `first_us` to `last_us`.

    A preset ends with the hour of the latest fact: so the period before it is as long and as full. Days begin in
    the view's zone; the buckets are hours, days, weeks, months, so that there are at most some hundred.
    """
    zone = ZoneInfo(view.zone)
    end_us = (last_us // HOUR_US + 1) * HOUR_US
    start_us: int | None
    if view.range == "24h":
        start_us = end_us - 24 * HOUR_US
    elif view.range in DAYS:
        today = instant_of(last_us).astimezone(zone).date()
        start_us = _begin(today - timedelta(days=DAYS[view.range] - 1), zone)
    elif view.range in WEEKS:
        today = instant_of(last_us).astimezone(zone).date()
        monday = today - timedelta(days=today.weekday())
        start_us = _begin(monday - timedelta(weeks=WEEKS[view.range] - 1), zone)
    elif view.range == "all":
        start_us = None
    else:
        start_us = _begin(view.first, zone) if view.first else None
        end_us = _begin(view.last + timedelta(days=1), zone) if view.last else end_us
    if start_us is not None:
        end_us = max(end_us, start_us + HOUR_US)
    length_us = end_us - (start_us if start_us is not None else first_us or last_us)
    comparable = (
        start_us is not None
        and first_us is not None
        and start_us - length_us + length_us // _ALMOST >= first_us
    )
    return Period(start_us, end_us, granularity_for(length_us), comparable)


def granularity_for(length_us: int) -> Granularity:
    hours = length_us / HOUR_US
    if hours <= _FEW_HOURS:
        return "hour"
    days = hours / 24
    if days <= _MANY_DAYS:
        return "day"
    if days <= _MANY_WEEKS:
        return "week"
    return "month" if days <= _YEARS else "quarter"


def _begin(day: date, zone: ZoneInfo) -> int:
    return microseconds(datetime.combine(day, time(), zone).astimezone(UTC))
