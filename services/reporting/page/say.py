"""Figures in words: a value with its unit, a change against the period before, the name of a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from babel.dates import format_date, format_skeleton, format_time

from services.reporting.domain.metrics import METRICS, Definition, defaults_of
from services.reporting.page.i18n import N_, pgettext, reader
from services.reporting.page.i18n import gettext as _
from services.reporting.page.parts import NONE, duration, local, number, percent, word
from services.reporting.report.model import Aggregate, Cell, Granularity

Value = float | int | None
MANY_TIMES: Final = 10
"""From here on a figure is said to be so many times what it was."""

AGGREGATES: Final = {
    "count": N_("number"),
    "sum": N_("sum"),
    "mean": N_("mean"),
    "min": N_("least"),
    "max": N_("most"),
    "p50": N_("median"),
    "p75": N_("75 % within"),
    "p90": N_("90 % within"),
    "p95": N_("95 % within"),
    "p99": N_("99 % within"),
    "share": N_("share"),
}
UNITS: Final = {
    "tickets": N_("tickets"),
    "times": N_("times"),
    "seconds": N_("time"),
    "clocks": N_("clocks"),
    "ratings": N_("ratings"),
    "agents": N_("agents"),
    "share": N_("per cent"),
}
PER: Final = {
    "hour": N_("per hour"),
    "day": N_("per day"),
    "week": N_("per week"),
    "month": N_("per month"),
    "quarter": N_("per quarter"),
    "year": N_("per year"),
}
AT_END: Final = {
    "hour": N_("at the end of each hour"),
    "day": N_("at the end of each day"),
    "week": N_("at the end of each week"),
    "month": N_("at the end of each month"),
    "quarter": N_("at the end of each quarter"),
    "year": N_("at the end of each year"),
}
_SKELETONS: Final = {"day": "MMMd", "week": "MMMd", "month": "yMMM", "quarter": "yQQQ", "year": "y"}


def title_of(metric: str) -> str:
    return pgettext(f"metric {metric}", METRICS[metric].title)


def formula_of(metric: str) -> str:
    return pgettext(f"metric {metric}", METRICS[metric].formula)


def edges_of(metric: str) -> str:
    text = METRICS[metric].edges
    return pgettext(f"metric {metric}", text) if text else ""


def figure(metric: str, aggregate: Aggregate, value: Value) -> str:
    """The value as people write it: 12,345 · 95.4 % · 3.4 h · 1.7."""
    definition = METRICS[metric]
    if value is None:
        return NONE
    if aggregate == "count" or (aggregate == "sum" and definition.unit != "seconds"):
        return number(value)
    if is_share(definition):
        return percent(value)
    if definition.unit == "seconds":
        return duration(value)
    return number(value, "#,##0.0")


def is_share(definition: Definition) -> bool:
    return definition.unit == "share" or definition.kind == "share"


@dataclass(frozen=True, slots=True)
class Change:
    """Against the period before. `mood`: good, bad or nothing; `text` says it without the colour."""

    sign: str
    text: str
    mood: str
    before: str


def change(cell: Cell) -> Change | None:
    """How the figure moved; None without anything to compare with."""
    if cell.value is None or cell.previous is None:
        return None
    definition = METRICS[cell.metric]
    before = figure(cell.metric, cell.aggregate, cell.previous)
    moved = cell.value - cell.previous
    if is_share(definition) and cell.aggregate != "count":
        text = _("{n} points").format(n=number(abs(100 * moved), "#,##0.0"))
    elif cell.previous and cell.value >= MANY_TIMES * cell.previous:
        text = f"× {number(cell.value / cell.previous)}"
    elif cell.previous:
        text = percent(abs(moved / cell.previous))
    elif moved:
        return Change("", _("none before"), "", before)
    else:
        text = ""
    if not moved:
        return Change("=", _("as before"), "", before)
    sign, up = ("▲", "more") if moved > 0 else ("▼", "less")
    if definition.better == "neither":
        return Change(sign, text, "", before)
    return Change(sign, text, "good" if definition.better == up else "bad", before)


def bucket(us: int, granularity: Granularity) -> str:
    """What stands under the axis: 14:00 · Mar 2 · Mar 2016 · Q1 2016."""
    at, locale = local(us), reader().locale
    if granularity == "hour":
        return str(format_time(at, "HH:mm", locale=locale, tzinfo=at.tzinfo))
    skeleton = _SKELETONS[granularity]
    return str(format_skeleton(skeleton, at, locale=locale, tzinfo=at.tzinfo))


def bucket_long(us: int, granularity: Granularity) -> str:
    """The same where it stands alone, with the day and the year."""
    at, locale = local(us), reader().locale
    if granularity == "hour":
        return f"{format_skeleton('yMMMEd', at, locale=locale)} {at:%H:%M}"
    if granularity == "day":
        return str(format_skeleton("yMMMEd", at, locale=locale))
    if granularity == "week":
        return _("week of {day}").format(day=format_date(at, "medium", locale=locale))
    return bucket(us, granularity)


def span(start_us: int | None, end_us: int) -> str:
    """Mar 2, 2016 – Mar 31, 2016: the days, both included."""
    locale = reader().locale
    last = format_date(local(end_us - 1), "medium", locale=locale)
    if start_us is None:
        return _("up to {day}").format(day=last)
    first = format_date(local(start_us), "medium", locale=locale)
    return first if first == last else f"{first} – {last}"


def weekday(number_of_day: int) -> str:
    """1 (Monday) … 7, short."""
    names = reader().locale.days["stand-alone"]["abbreviated"]
    return str(names[number_of_day - 1])


def key(dimension: str, value: str | None) -> str:
    """A value of a dimension as it is shown; "none" where there is no value."""
    if value is None or value == "":
        return _("none")
    if dimension == "weekday":
        return weekday(int(value))
    if dimension == "hour":
        return f"{int(value):02}:00"
    if dimension == "language":
        return str(reader().locale.languages.get(value.partition("-")[0], value))
    return word(value)


def aggregate_of(metric: str, wanted: Aggregate = "p50") -> Aggregate:
    """The aggregate under which a metric's figure is found: `wanted` for those that have several."""
    definition = METRICS[metric]
    if definition.kind in ("distribution", "standing"):
        return wanted
    return defaults_of(definition)[0]
