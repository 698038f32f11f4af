"""Is a question one that can be answered? What is wrong is said before anything is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, get_args
from zoneinfo import ZoneInfo

from libs.runtime.errors import Poison
from services.reporting.domain.dimensions import DIMENSIONS, LEVELS_LACK, Dimension
from services.reporting.domain.metrics import METRICS, Definition, aggregates_of, defaults_of
from services.reporting.report.model import Aggregate, Granularity, ReportQuery, TimeKind
from services.reporting.report.zones import FIRST_US, LAST_US, zone_of

BUCKETS_MAX: Final = 2_000
GROUPS_MAX: Final = 1_000
CELLS_MAX: Final = 50_000
BY_MAX: Final = 2
METRICS_MAX: Final = 20
VALUES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Checked:
    """A question with its definitions. `cells`: the metrics and aggregates of each row, in order."""

    query: ReportQuery
    zone: ZoneInfo
    metrics: tuple[Definition, ...]
    by: tuple[Dimension, ...]
    filters: tuple[tuple[Dimension, tuple[str, ...]], ...]
    cells: tuple[tuple[Definition, Aggregate], ...]


def check(query: ReportQuery) -> Checked:
    """The question with its definitions.

    Raises Poison (422): `unknown_metric`, `unknown_dimension`, `unknown_aggregate`, `unknown_granularity`,
    `unknown_time`, `unknown_value`, `unknown_zone`, `no_metric`, `not_by_dimension` (the metric has no such
    dimension), `not_an_aggregate` (the metric has no such aggregate), `twice`, `too_many_metrics`,
    `too_many_dimensions`, `too_many_values`, `reversed_range`, `bad_instant`.
    """
    zone = zone_of(query.zone)
    metrics = _metrics(query.metrics)
    _known(query.granularity, get_args(Granularity), "granularity")
    _known(query.time, get_args(TimeKind), "time")
    _check_range(query)
    by = tuple(dimension_of(name) for name in query.by)
    _once(query.by, "by")
    if len(by) > BY_MAX:
        raise Poison("too_many_dimensions", f"group by {BY_MAX} dimensions at most (by)")
    filters = tuple((dimension_of(name), _values(name, v)) for name, v in query.filters)
    _once([name for name, _ in query.filters], "filters")
    for metric in metrics:
        for dimension in (*by, *(dimension for dimension, _ in filters)):
            if not has(metric, dimension):
                raise _lacks(metric, dimension)
    return Checked(query, zone, metrics, by, filters, _cells(metrics, query.aggregates))


def dimension_of(name: str) -> Dimension:
    """The dimension of that name. Raises Poison (422, `unknown_dimension`)."""
    return DIMENSIONS[_known(name, DIMENSIONS, "dimension")]


def has(metric: Definition, dimension: Dimension) -> bool:
    """Can the metric be grouped and filtered by the dimension?"""
    if dimension.of_instant:
        return metric.kind in ("count", "distribution", "share")
    if dimension.name in metric.dimensions or metric.source in dimension.columns:
        return True
    return bool(dimension.joined) and metric.source != "presences"


def dimensions_of(metric: Definition) -> list[str]:
    """The names of the dimensions that a metric has."""
    return [name for name, dimension in DIMENSIONS.items() if has(metric, dimension)]


def _metrics(names: tuple[str, ...]) -> tuple[Definition, ...]:
    if not names:
        raise Poison("no_metric", "name at least one metric, such as metrics=created,solved")
    if len(names) > METRICS_MAX:
        raise Poison("too_many_metrics", f"ask for {METRICS_MAX} metrics at most in one question")
    _once(names, "metrics")
    return tuple(METRICS[_known(name, METRICS, "metric")] for name in names)


def _known(name: str, known: Collection[str], what: str) -> str:
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        listed = near or (list(known) if len(known) <= METRICS_MAX else [])
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        if listed and not near:
            hint = f"; there are {', '.join(listed)}"
        raise Poison(f"unknown_{what}", f"there is no {what} {name[:100]!r}{hint}")
    return name


def _once(names: Iterable[str], where: str) -> None:
    listed = list(names)
    for name in listed:
        if listed.count(name) > 1:
            raise Poison("twice", f"{where} names {name[:100]!r} twice: name it once")


def _values(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    dimension = DIMENSIONS[name]
    if not values:
        raise Poison("no_value", f"the filter {name} has no value; an empty one stands for none")
    if len(values) > VALUES_MAX:
        raise Poison("too_many_values", f"the filter {name} takes {VALUES_MAX} values at most")
    for value in values:
        if dimension.values and value:
            _known(value, dimension.values, "value")
    return values


def _check_range(query: ReportQuery) -> None:
    for at in (query.start_us, query.end_us, query.as_recorded_us):
        if at is not None and not FIRST_US <= at <= LAST_US:
            raise Poison("bad_instant", "an instant lies outside the years 1 to 9999")
    if query.start_us is not None and query.end_us is not None and query.start_us >= query.end_us:
        raise Poison(
            "reversed_range",
            "from must be before to: the period includes its beginning and not its end",
        )


def _lacks(metric: Definition, dimension: Dimension) -> Poison:
    why = ""
    if dimension.name in LEVELS_LACK:
        why = ": what stands at the end of a period has no hour of its own"
    return Poison(
        "not_by_dimension",
        f"{metric.name} has no dimension {dimension.name}{why}; "
        f"it has {', '.join(dimensions_of(metric))}",
    )


def _cells(
    metrics: tuple[Definition, ...], asked: tuple[Aggregate, ...]
) -> tuple[tuple[Definition, Aggregate], ...]:
    """Aggregates that a metric does not have are left to the other metrics; it gives its own."""
    _once(asked, "aggregates")
    for name in asked:
        _known(name, get_args(Aggregate), "aggregate")
    cells: list[tuple[Definition, Aggregate]] = []
    for metric in metrics:
        able = aggregates_of(metric)
        wanted = tuple(name for name in asked if name in able) or defaults_of(metric)
        cells += [(metric, name) for name in wanted]
    for name in asked:
        if all(name not in aggregates_of(metric) for metric in metrics):
            all_of = dict.fromkeys(name for metric in metrics for name in aggregates_of(metric))
            raise Poison(
                "not_an_aggregate",
                f"none of these metrics has the aggregate {name}; they have {', '.join(all_of)}",
            )
    return tuple(cells)
