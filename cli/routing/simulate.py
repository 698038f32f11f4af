"""`bitacora routing simulate`: a recorded day under other rules, another staff or another strategy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.output import (
    DEFAULT_DATA_DIR,
    DataDir,
    JsonFlag,
    UsageError,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from cli.routing.replay import Replayed
    from services.routing.domain.simulation import Figures, Waits

SHOWN: Final = 10


class StrategyName(StrEnum):
    """As in a rule set."""

    MOST_SPARE = "most_spare"
    LOWEST_SHARE = "lowest_share"
    LONGEST_IDLE = "longest_idle"
    LEAST_FLEXIBLE = "least_flexible"


class WayName(StrEnum):
    """How others assign."""

    GREEDY_IDLE = "greedy_idle"
    ROUND_ROBIN = "round_robin"


def simulate(
    *,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Arrivals, a JSON object per line.")
    ] = None,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Arrivals and agents from the topics.")
    ] = False,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The rules; without: the defaults.")
    ] = None,
    agents: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A roster, as `agents load` takes it.")
    ] = None,
    strategy: Annotated[
        StrategyName | None, typer.Option(help="Instead of the strategy in the rules.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rules to compare with.")
    ] = None,
    baseline_agents: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A roster to compare with.")
    ] = None,
    baseline_strategy: Annotated[
        StrategyName | None, typer.Option(help="A strategy to compare with.")
    ] = None,
    beside: Annotated[
        list[WayName] | None, typer.Option(help="Another way to compare with; repeatable.")
    ] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="This day only.")
    ] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"])
    ] = None,
    to: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"])
    ] = None,
    zone: Annotated[str, typer.Option(help="The zone of --day, --from and --to.")] = "UTC",
    handle: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Handling time where none is known.")
    ] = 600.0,
    handle_spread: Annotated[
        float, typer.Option(min=0, max=10, help="Its standard deviation, as a share of it.")
    ] = 0.0,
    target: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Later first assignments are late.")
    ] = 900.0,
    answer: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Until an offer is answered.")
    ] = 0.0,
    declined: Annotated[float, typer.Option(min=0, max=1, help="Share of offers declined.")] = 0.0,
    missed: Annotated[float, typer.Option(min=0, max=1, help="Share not answered.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 1,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the arrivals of this time here.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Replay a day against other rules, agents or strategies; the live system is only read.

    Prints waiting times, utilization, late and idle shares, one column per variant. The guide:
    docs/guides/routing-simulation.md.
    """
    if (events is None) != from_log:
        raise UsageError("give one of --events FILE and --from-log")
    if events is not None and agents is None:
        raise UsageError("with --events, name a roster: --agents FILE")
    if declined + missed > 1:
        raise UsageError("--declined and --missed together are more than 1")
    from cli.routing.replay import Asked, replay

    replayed = replay(
        Asked(
            events=events,
            rules=rules,
            agents=agents,
            strategy=strategy,
            baseline=baseline,
            baseline_agents=baseline_agents,
            baseline_strategy=baseline_strategy,
            beside=tuple(beside or ()),
            day=day,
            since=from_,
            until=to,
            zone=zone,
            handle_s=handle,
            handle_spread=handle_spread,
            target_s=target,
            answer_s=answer,
            declined=declined,
            missed=missed,
            seed=seed,
            save=save,
            data_dir=data_dir,
        )
    )
    if json:
        print_json(replayed.as_json())
    else:
        _print(replayed)


def _print(replayed: Replayed) -> None:
    found = replayed.variants
    say(
        f"{replayed.tickets:,} tickets from {replayed.start:%F %R} to {replayed.end:%F %R} (UTC);"
        f" the handling time of {replayed.known:,} is known"
    )
    columns = ["", *(f"#{name}" for name in found)]
    every = list(found.values())
    rows = list(_rows([figures.waits for figures in every], replayed.target_s))
    rows += [
        ["utilization", *(_share(figures.utilization) for figures in every)],
        ["agents on duty", *(_on_duty(figures) for figures in every)],
        ["of them, given nothing", *(len(figures.idle) for figures in every)],
        ["hand-overs", *(figures.hand_overs for figures in every)],
        ["offers", *(figures.offers for figures in every)],
    ]
    print_table(columns, rows)
    for what in ("queues", "priorities"):
        groups = [getattr(figures, what) for figures in every]
        names = dict.fromkeys(name for group in groups for name in group)
        if len(names) > 1:
            _print_groups(what, names, groups, found)
    for name, figures in found.items():
        if figures.idle:
            shown = ", ".join(figures.idle[:SHOWN])
            more = f" and {len(figures.idle) - SHOWN} more" if len(figures.idle) > SHOWN else ""
            say(f"{name}, given nothing: {shown}{more}")


def _rows(waits: Sequence[Waits], target: float) -> Iterable[list[object]]:
    yield ["tickets", *(f"{one.tickets:,}" for one in waits)]
    yield ["never served", *(f"{one.unserved:,}" for one in waits)]
    for name in ("mean", "p50", "p95", "max"):
        yield [f"wait, {name}", *(_span(getattr(one, f"{name}_s")) for one in waits)]
    yield [f"later than {_span(target)}", *(_share(one.late) for one in waits)]


def _print_groups(
    what: str,
    names: Iterable[str],
    groups: Sequence[Mapping[str, Waits]],
    found: Mapping[str, Figures],
) -> None:
    columns = [what, *(f"#{head}" for name in found for head in (f"{name}: mean", "p95", "late"))]
    rows = []
    for name in names:
        row: list[object] = [name]
        for group in groups:
            one = group.get(name)
            row += [_span(one.mean_s), _span(one.p95_s), _share(one.late)] if one else [""] * 3
        rows.append(row)
    print_table(["", *columns[1:]], rows, title=f"\n{what}")


def _on_duty(figures: Figures) -> int:
    return sum(load.on_duty_s > 0 for load in figures.agents.values())


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _span(seconds: float) -> str:
    """`1:02:03`; below ten seconds `4.2 s`."""
    if 0 < seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds)))
