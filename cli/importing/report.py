"""What an import did, counted: nothing is left out without a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.importing.errors import BadRow

LISTED: Final = 100
"""Broken rows and refusals that are listed one by one; all are counted."""

RULES: Final[dict[str, str]] = {
    "rows_without_change": "rows that changed nothing that the domain knows",
    "unknown_state": "rows with a state that has no meaning: the status before was kept",
    "unknown_contact_type": "incidents with a contact type that has no channel: api was taken",
    "no_priority": "rows without a priority: the one before (at first: medium) was kept",
    "opened_after_first_row": "cases opened after their first row: created at that row's time",
    "created_before_first_row": "cases created new, with their first status at their first row",
    "time_went_back": "rows with a time before that of the row above: recorded as they are",
    "odd_hour": "readings of a local time that the clock showed twice or never",
    "hidden_hand_over": "reassignments counted by the log without a visible change of group",
    "uncounted_group_change": "changes of group that the log did not count as a reassignment",
    "uncounted_reopen": "reopenings that the log did not count, or counted without a change",
    "exact_duplicates": "rows equal to an earlier row of the same case: dropped",
    "ignored_words": "rows whose word the mapping ignores",
    "unknown_words": "rows with a word that is not in the mapping",
    "unknown_priority": "rows with a priority that is not in the mapping: the one before was kept",
    "unknown_channel": "cases with a channel that is not in the mapping: the default was taken",
    "assign_without_name": "rows that assign to somebody whom they do not name: not assigned",
    "no_requester": "cases without a requester: a default was taken",
}


@dataclass(slots=True)
class Counts:
    """What the translation of a file counted. `changes`: by the column's position, after
    the first row; `values`: cases in which an ignored column says something."""

    rows: int = 0
    cases: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    changes: Counter[int] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    unknown_words: Counter[tuple[str, str]] = field(default_factory=Counter)


class BadRows:
    """Broken rows. Not `skip`: the first one is raised. `skip`: they are counted, and the cases that
    they belong to are left out, for a history with a hole is none. A broken row of which nobody can
    say to what case it belongs is always raised: any case could be the one with the hole."""

    def __init__(self, path: Path, *, skip: bool) -> None:
        self._path = path
        self._skip = skip
        self.count = 0
        self.first: list[BadRow] = []
        self.cases: set[str] = set()

    def add(self, bad: BadRow) -> None:
        if not self._skip:
            raise self._final(
                bad, "Nothing was sent. Mend the file, or leave such rows out with --skip-bad-rows."
            )
        if bad.case is None:
            raise self.unknown_case(bad)
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(bad)
        self.cases.add(bad.case)

    def unknown_case(self, bad: BadRow) -> BadRow:
        """The error for a row that cannot be skipped."""
        return self._final(
            bad,
            "Nothing was sent. It cannot be told which case this row belongs to, so "
            "--skip-bad-rows cannot leave that case out: mend this row in the file.",
        )

    def _final(self, bad: BadRow, advice: str) -> BadRow:
        end = "" if bad.detail.endswith((".", "?", "!")) else "."
        detail = f"{bad.detail}{end} {advice}"
        return BadRow(bad.line, detail, case=bad.case, path=self._path)

    def ignore(self, _bad: BadRow, _cells: Sequence[str]) -> None:
        """For the second reading of a file: the first one has told them all."""


@dataclass(slots=True)
class Sent:
    """What intake answered."""

    commands: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    events: int = 0
    requests: int = 0
    retries: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def add(self, answer: dict[str, Any]) -> None:
        """One answer of the batch endpoint."""
        self.requests += 1
        self.accepted += answer["accepted"]
        self.duplicates += answer["duplicates"]
        self.rejected += answer["rejected"]
        for result in answer["results"]:
            events = result.get("events") or 0
            if result["status"] == "accepted":
                self.events += events if isinstance(events, int) else len(events)
            elif result["status"] == "rejected":
                self.codes[result.get("code") or "rejected"] += 1
                if len(self.refusals) < LISTED:
                    self.refusals.append(result)

    @property
    def sentence(self) -> str:
        """One line for people."""
        if self.commands and self.duplicates == self.commands:
            return f"Nothing new: all {self.commands:,} commands had been imported before."
        parts = [f"{self.accepted:,} accepted ({self.events:,} events)"]
        if self.duplicates:
            parts.append(f"{self.duplicates:,} had been imported before")
        if self.rejected:
            parts.append(f"{self.rejected:,} refused")
        return f"{self.commands:,} commands: {', '.join(parts)}."


def counts_json(counts: Counts) -> dict[str, Any]:
    return {
        "cases": counts.cases,
        "rows": counts.rows,
        "commands": counts.commands.total(),
        "commands_by_type": dict(counts.commands.most_common()),
        "rules": {name: counts.rules[name] for name in RULES if counts.rules[name]},
        "unknown_words": [
            {"column": column, "word": word, "rows": number}
            for (column, word), number in counts.unknown_words.most_common(LISTED)
        ],
    }


def bad_rows_json(bad: BadRows) -> dict[str, Any]:
    return {
        "count": bad.count,
        "cases_left_out": len(bad.cases),
        "first": [{"line": one.line, "detail": one.detail, "case": one.case} for one in bad.first],
    }
