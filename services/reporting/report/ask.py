"""Questions as people and programs write them: parameters of an address, or the JSON of a saved report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from libs.events.times import parse_time
from libs.runtime.errors import Poison
from services.reporting.domain import microseconds
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.report.check import check
from services.reporting.report.model import ReportQuery
from services.reporting.report.zones import add_months, local, start_of, zone_of

_Name = Annotated[str, Field(max_length=100)]
_Value = Annotated[str, Field(max_length=500)]
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")
_PARTS: Final = re.compile(r"\\[\\,]|,|[^\\,]+|\\", re.DOTALL)
_LAST: Final = re.compile(r"([1-9]\d{0,3})([hdwmy])")

MANY: Final = ("metrics", "by", "aggregates")
ONE: Final = ("from", "to", "last", "zone", "granularity", "time", "compare", "as_recorded_at")


class Question(BaseModel):
    """A report, as it is asked for and saved.

    `from` (included) and `to` (not included): a date, which begins at midnight in `zone`, or an instant with
    its offset; without them from the first, to the last fact. Or `last`, such as 24h, 7d, 4w, 12m, 1y: so many
    hours, days, weeks, months or years by the calendar of the zone, the present one included.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    metrics: tuple[_Name, ...] = Field(max_length=20, examples=[["created", "solved"]])
    from_: _Name | None = Field(None, alias="from", examples=["2026-03-01"])
    to: _Name | None = Field(None, examples=["2026-04-01"])
    last: _Name | None = Field(None, examples=["30d"])
    zone: _Name = Field("UTC", examples=["Europe/Madrid"])
    granularity: _Name = "none"
    by: tuple[_Name, ...] = Field((), max_length=5, examples=[["channel"]])
    filters: dict[_Name, tuple[_Value, ...]] = Field(
        default_factory=dict, max_length=50, examples=[{"priority": ["high", "critical"]}]
    )
    aggregates: tuple[_Name, ...] = Field((), max_length=20)
    time: _Name = "calendar"
    compare: Literal["previous"] | None = None
    as_recorded_at: _Name | None = None

    def query(self, now_us: int) -> ReportQuery:
        """What is asked of the engine. Raises Poison (422) as `check` does, and `bad_instant`,
        `bad_period`, `two_periods`."""
        zone = zone_of(self.zone)
        start = self.from_ and instant(self.from_, zone, "from")
        end = self.to and instant(self.to, zone, "to")
        if self.last:
            if self.from_ or self.to:
                raise Poison("two_periods", "give either last, or from and to")
            start, end = last_period(self.last, now_us, zone)
        then = self.as_recorded_at and instant(self.as_recorded_at, zone, "as_recorded_at")
        asked: dict[str, Any] = {
            "metrics": self.metrics,
            "start_us": None if start in (None, "") else start,
            "end_us": None if end in (None, "") else end,
            "zone": self.zone,
            "granularity": self.granularity,
            "by": self.by,
            "filters": tuple(sorted(self.filters.items())),
            "aggregates": self.aggregates,
            "time": self.time,
            "compare": self.compare is not None,
            "as_recorded_us": None if then in (None, "") else then,
        }
        query = ReportQuery(**asked)
        check(query)
        return query


def question_of(parameters: Iterable[tuple[str, str]], more: Iterable[str] = ()) -> Question:
    """The question that the parameters of an address ask. Any dimension is a filter; several values
    are separated by commas or the parameter is repeated; a backslash before a comma makes it part of the value.
    Names in `more` are others' business.

    Raises Poison (422): `unknown_parameter`, `twice`, `bad_parameter`.
    """
    given: dict[str, Any] = {}
    filters: dict[str, tuple[str, ...]] = {}
    for name, text in parameters:
        if name in more:
            continue
        if name in MANY:
            given[name] = (*given.get(name, ()), *(word for word in text.split(",") if word))
        elif name in ONE:
            if name in given:
                raise Poison("twice", f"the parameter {name} is given twice: give it once")
            given[name] = text
        elif name in DIMENSIONS:
            filters[name] = (*filters.get(name, ()), *split(text))
        else:
            known = (*MANY, *ONE, *more, *DIMENSIONS)
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise Poison("unknown_parameter", f"there is no parameter {name[:100]!r}{hint}")
    return made({**{k: v for k, v in given.items() if v != ""}, "filters": filters})


def made(given: Mapping[str, Any]) -> Question:
    """A question from its parts. Raises Poison (422, `bad_parameter`)."""
    try:
        return Question.model_validate({"metrics": (), **given})
    except ValueError as error:
        first = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
        place = ".".join(str(part)[:100] for part in first["loc"])
        raise Poison("bad_parameter", f"{place}: {first['msg']}") from None


def split(text: str) -> tuple[str, ...]:
    """The values between commas; an escaped comma or backslash is part of its value."""
    values = [""]
    for part in _PARTS.findall(text):
        if part == ",":
            values.append("")
        else:
            values[-1] += part[1] if part in ("\\,", "\\\\") else part
    return tuple(values)


def instant(text: str, zone: ZoneInfo, name: str) -> int:
    """Microseconds of a date (its midnight in the zone) or of an instant with its offset.

    Raises Poison (422, `bad_instant`).
    """
    try:
        if _DATE.fullmatch(text):
            return start_of(datetime.combine(date.fromisoformat(text), time()), zone)
        if not _INSTANT.match(text):
            raise ValueError("it is neither a date nor an instant")
        return microseconds(parse_time(text.replace("z", "Z")))
    except (ValueError, OverflowError) as error:
        plus = " (write + as %2B in an address)" if re.search(r"\d \d\d:?\d\d$", text) else ""
        raise Poison(
            "bad_instant",
            f"{name}: {text[:60]!r} is no date such as 2026-03-01, nor an instant with its offset "
            f"such as 2026-03-01T09:00:00Z{plus}: {error}"[:400],
        ) from None


def last_period(text: str, now_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """The last hours, days, weeks, months or years by the zone's calendar, the present one included.

    Raises Poison (422, `bad_period`).
    """
    match = _LAST.fullmatch(text)
    if match is None:
        raise Poison(
            "bad_period", f"last: {text[:60]!r} is no period such as 24h, 7d, 4w, 12m or 1y"
        )
    count, unit = int(match[1]), match[2]
    wall = local(now_us, zone)
    try:
        if unit == "h":
            hour = wall.replace(minute=0, second=0, microsecond=0)
            end = start_of(hour + timedelta(hours=1), zone)
            return end - count * 3_600_000_000, end
        today = wall.date()
        if unit in "dw":
            first = today if unit == "d" else today - timedelta(days=today.weekday())
            days = 1 if unit == "d" else 7
            begin, end_day = (
                first - timedelta(days=days * (count - 1)),
                first + timedelta(days=days),
            )
        else:
            months = 1 if unit == "m" else 12
            first = today.replace(day=1) if unit == "m" else today.replace(day=1, month=1)
            begin, end_day = add_months(first, -months * (count - 1)), add_months(first, months)
    except (ValueError, OverflowError):
        raise Poison("bad_period", f"last: {text} reaches out of the years 1 to 9999") from None
    return tuple(start_of(datetime.combine(day, time()), zone) for day in (begin, end_day))  # type: ignore[return-value]
