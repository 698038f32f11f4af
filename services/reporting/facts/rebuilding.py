"""Making the facts anew while they serve: one at a time, with its progress and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from sqlalchemy import Connection

from libs.runtime.clock import Clock, monotonic_s
from libs.runtime.errors import Failure, Rejected
from libs.runtime.logs import get_logger
from services.reporting.compare import TableDifference
from services.reporting.domain import microseconds
from services.reporting.facts.business import Calendars
from services.reporting.facts.compare import compare_copies
from services.reporting.facts.copy import Copy
from services.reporting.facts.facts import Facts, Reading
from services.reporting.facts.follow import load
from services.reporting.facts.source import fixed_source
from services.reporting.report.differences import compare_reports
from services.reporting.views.changes import read_head

log = get_logger(__name__)

COMPARE_MB: Final = 1024
"""What DuckDB may use for each of two sets of facts that are only compared."""
END_US: Final = 253_402_300_799_000_000
"""The end of the year 9999: no fact is left out as one of the future."""

State = Literal["never", "running", "done", "failed"]


@dataclass(slots=True)
class FactsRebuild:
    """`done` of about `total` events of tickets are read. `ok`: every row and every figure of the live
    facts was as the histories say (None until that is known). `questions`: how many were put to both."""

    state: State = "never"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    ok: bool | None = None
    tables: list[TableDifference] = field(default_factory=list)
    questions: int = 0
    figures: list[str] = field(default_factory=list)
    error: str | None = None

    def document(self) -> dict[str, Any]:
        tables = [{**asdict(table), "equal": table.equal} for table in self.tables]
        return {**asdict(self), "tables": tables}


class Rebuilds:
    """The latest rebuild of these facts in this process."""

    def __init__(self, facts: Facts, clock: Clock) -> None:
        self._facts = facts
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.latest = FactsRebuild()

    def start(self) -> FactsRebuild:
        """Raises Rejected (`rebuild_running`)."""
        if self._task is not None and not self._task.done():
            raise Rejected(
                "rebuild_running", "the facts are being made anew already; wait until that is done"
            )
        self.latest = FactsRebuild("running")
        self._task = asyncio.create_task(self._run(self.latest), name="facts-rebuild")
        return self.latest

    async def _run(self, report: FactsRebuild) -> None:
        try:
            await asyncio.to_thread(rebuild_facts, self._facts, self._clock, report)
        except Failure as error:
            report.state, report.error = "failed", error.detail
            log.warning("facts_rebuild_failed", code=error.code, error=error.detail)
        except BaseException as error:
            report.state, report.error = "failed", type(error).__name__
            raise


def rebuild_facts(
    facts: Facts,
    clock: Clock,
    report: FactsRebuild,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Blocks until it is done; `report` tells how far it is. Raises Rejected and Transient; the live
    facts are then as before."""
    report.state, began_s = "running", monotonic_s()

    def tell(done: int, total: int) -> None:
        report.done, report.total = done, total
        if progress is not None:
            progress(done, total)

    def compare(live: Reading, rebuilt: Reading) -> None:
        report.tables = compare_copies(live.cursor, rebuilt.cursor)
        report.questions, report.figures = compare_reports(
            live.cursor, rebuilt.cursor, now_us=microseconds(clock.now())
        )

    facts.rebuild(compare, tell)
    report.seconds = round(monotonic_s() - began_s, 3)
    report.ok = not report.figures and all(table.equal for table in report.tables)
    report.state = "done"
    log.info("facts_rebuilt", ok=report.ok, seconds=report.seconds, questions=report.questions)


def compare_facts(
    live: Connection, rebuilt: Connection, *, calendar: str, directory: Path | None
) -> tuple[list[TableDifference], int, list[str]]:
    """The facts that follow from two sets of histories, compared: per table, how many questions both
    answered, and the figures that differ. The facts are made in `directory` and removed afterwards."""
    with TemporaryDirectory(prefix="facts-", dir=directory) as place, ExitStack() as held:
        cursors = []
        for name, connection in (("live", live), ("rebuilt", rebuilt)):
            copy = Copy.create(Path(place) / f"{name}.duckdb", memory_mb=COMPARE_MB)
            held.callback(copy.close)
            load(
                fixed_source(connection),
                copy,
                head=read_head(connection),
                calendars=Calendars(calendar),
                stamp=1,
            )
            cursors.append(held.enter_context(copy.reading()))
        tables = compare_copies(*cursors)
        questions, figures = compare_reports(*cursors, now_us=END_US)
    return tables, questions, figures
