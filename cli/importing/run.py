"""One import from beginning to end: check the file, send the commands, compare the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from cli.importing.batches import Batch, pack
from cli.importing.cases import CaseRows, Survey, Translator, cases, survey, window
from cli.importing.changes import Command
from cli.importing.client import Intake, connect
from cli.importing.columns import Positions
from cli.importing.compare import (
    Comparison,
    Expected,
    Outcome,
    compare,
    expectation,
    outcome_of_json,
    outcome_of_ticket,
)
from cli.importing.errors import BadFile
from cli.importing.offline import Rehearsal
from cli.importing.report import Sent, bad_rows_json, counts_json
from cli.importing.table import Table
from libs.runtime.clock import monotonic_s


class Progress(Protocol):
    """How far it is, for people."""

    def stage(self, name: str, total: int | None) -> None:
        """A new stage of `total` steps begins."""

    def at(self, done: int) -> None:
        """So many steps of the stage are done."""

    def note(self, text: str) -> None:
        """Something worth knowing happened."""


@dataclass(frozen=True, slots=True)
class Options:
    """`url` None: a dry run, nothing is sent. `check` compares with the last rows."""

    url: str | None = None
    first: int = 1
    limit: int | None = None
    skip_bad_rows: bool = False
    check: bool = False
    in_flight: int = 3
    patience_s: float = 120.0


@dataclass(slots=True)
class Result:
    """What came of it. `sent` None: a dry run without a check."""

    survey: Survey
    translator: Translator
    sent: Sent | None = None
    rehearsed: bool = False
    comparison: Comparison | None = None
    wall_s: float = 0.0
    stages_s: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Nothing was refused, and the comparison (if any) left nothing unexplained."""
        refused = self.sent is not None and self.sent.rejected > 0
        return not refused and (self.comparison is None or self.comparison.good)

    def as_json(self) -> dict[str, Any]:
        sent = self.sent
        return {
            "source": self.translator.source,
            "good": self.good,
            **counts_json(self.translator.counts),
            "rows_in_file": self.survey.rows,
            "cases_in_file": self.survey.cases,
            "bad_rows": bad_rows_json(self.survey.bad),
            "columns": self.translator.columns_json(),
            "sent": None
            if sent is None
            else {
                "rehearsed_only": self.rehearsed,
                "commands": sent.commands,
                "accepted": sent.accepted,
                "duplicates": sent.duplicates,
                "rejected": sent.rejected,
                "events": sent.events,
                "requests": sent.requests,
                "retries": sent.retries,
                "rejected_by_code": dict(sent.codes),
                "first_rejected": sent.refusals,
            },
            "check": None if self.comparison is None else self.comparison.as_json(),
            "wall_s": round(self.wall_s, 3),
            "stages_s": {name: round(seconds, 3) for name, seconds in self.stages_s.items()},
        }


class Import:
    """Holds what the steps share: the file, its translator, the options, and the progress."""

    def __init__(
        self, table: Table, translator: Translator, options: Options, progress: Progress
    ) -> None:
        self._table = table
        self._translator = translator
        self._options = options
        self._progress = progress
        self._expected: list[Expected] = []

    async def run(self, intake: Intake | None) -> Result:
        """`intake` None: a dry run. Nothing is sent before the whole file has been checked.

        Raises ImportProblem.
        """
        begun = monotonic_s()
        self._progress.stage("Checking the file", None)
        found = survey(
            self._table,
            self._translator,
            skip_bad_rows=self._options.skip_bad_rows,
            progress=self._progress.at,
        )
        if self._options.first > found.cases:
            raise BadFile(
                f"{self._table.path}: --from {self._options.first} is beyond the last case; "
                f"{found.cases} cases can be imported. Nothing was sent."
            )
        result = Result(found, self._translator)
        result.stages_s["check_file"] = monotonic_s() - begun
        if intake is None:
            self._rehearse(result)
        else:
            await self._send(result, intake)
        result.wall_s = monotonic_s() - begun
        return result

    async def _send(self, result: Result, intake: Intake) -> None:
        begun = monotonic_s()
        self._progress.stage("Sending", self._total(result.survey))
        done = 0

        def on_answer(batch: Batch, _: Sent) -> None:
            nonlocal done
            done += batch.whole_cases
            self._progress.at(done)

        result.sent = await intake.send(
            pack(self._histories(result.survey)),
            in_flight=self._options.in_flight,
            on_answer=on_answer,
        )
        result.stages_s["send"] = monotonic_s() - begun
        if self._options.check:
            begun = monotonic_s()
            result.comparison = await self._compare(intake)
            result.stages_s["compare"] = monotonic_s() - begun

    async def _compare(self, intake: Intake) -> Comparison:
        """Reads the tickets back as they are now."""
        self._progress.stage("Comparing", len(self._expected))
        outcomes: dict[str, tuple[Outcome, bool]] = {}
        async for ticket in intake.tickets([one.ticket_id for one in self._expected]):
            outcomes[ticket["id"]] = (outcome_of_json(ticket), bool(ticket.get("live")))
            self._progress.at(len(outcomes))
        comparison = Comparison()
        for expected in self._expected:
            outcome, live = outcomes.get(expected.ticket_id, (None, False))
            compare(comparison, expected, outcome, live=live)
        return comparison

    def _rehearse(self, result: Result) -> None:
        """A dry run: counts; with the check also decides and folds everything in memory."""
        begun = monotonic_s()
        rehearsal = Rehearsal()
        self._progress.stage("Translating", self._total(result.survey))
        for number, (_, commands) in enumerate(self._histories(result.survey), start=1):
            if self._options.check:
                rehearsal.take(commands)
            if number % 200 == 0:
                self._progress.at(number)
        if self._options.check:
            result.sent, result.rehearsed = rehearsal.sent, True
            result.comparison = Comparison()
            for expected in self._expected:
                ticket = rehearsal.tickets.get(expected.ticket_id)
                outcome = None if ticket is None else outcome_of_ticket(ticket)
                live = ticket is not None and ticket.live
                compare(result.comparison, expected, outcome, live=live)
        result.stages_s["translate"] = monotonic_s() - begun

    def _histories(self, found: Survey) -> Iterator[tuple[str, list[Command]]]:
        groups: Iterable[CaseRows] = window(
            cases(self._table, self._translator, found),
            first=self._options.first,
            limit=self._options.limit,
        )
        at = Positions.of(self._table.columns) if self._options.check else None
        for case, rows in groups:
            if at is not None:
                self._expected.append(expectation(at, case, rows))
            yield case, self._translator.commands(case, rows)

    def _total(self, found: Survey) -> int:
        left = max(0, found.cases - max(self._options.first, 1) + 1)
        return left if self._options.limit is None else min(left, self._options.limit)


async def run_import(
    table: Table, translator: Translator, options: Options, progress: Progress
) -> Result:
    """Connects first, so that whoever forgot to start the desk learns it at once.

    Raises ImportProblem, and NotRunning when nothing answers at the address.
    """
    work = Import(table, translator, options, progress)
    if options.url is None:
        return await work.run(None)
    async with connect(
        options.url, patience_s=options.patience_s, on_retry=progress.note
    ) as intake:
        return await work.run(intake)
