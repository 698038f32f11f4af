"""What became of a run: one object, the problems in it, and how people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cli.demo.api import Calls
from cli.demo.watch import Watch
from cli.invariants import Check
from cli.output import print_facts, print_table, say
from libs.events import sla as s
from libs.events import ticket as t

MUST_HAPPEN = (
    "created",
    "assigned",
    "first_replies",
    "solved",
    "escalated",
    "warnings",
    "breaches",
)


@dataclass(slots=True)
class Summary:
    """`tickets`: by status, as reporting shows them. `ledger`: intake's, in total. `invariants`:
    name → ok, failed, or not checked. `unsettled`: what was still under way when waiting ended.
    `restarts`: service → how often it was started again. `problems`: why the run failed; empty if not.
    """

    seed: int
    rate: float
    simulated_from: str
    simulated_until: str
    tickets: dict[str, int] = field(default_factory=dict)
    created: int = 0
    acknowledged: int = 0
    assigned: int = 0
    assigned_by_routing: int = 0
    first_replies: int = 0
    messages: int = 0
    solved: int = 0
    reopened: int = 0
    escalated: int = 0
    escalated_by: dict[str, int] = field(default_factory=dict)
    warnings: int = 0
    breaches: int = 0
    rated: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    invariants: dict[str, str] = field(default_factory=dict)
    unsettled: str = ""
    http: dict[str, Any] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    start_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems

    def take_watch(self, watch: Watch) -> None:
        """What the public topics told."""
        self.created = watch.count(t.TicketCreated)
        self.assigned = watch.count(t.Assigned)
        self.assigned_by_routing = watch.assigned_by_routing
        self.messages = watch.count(t.MessageAdded)
        self.solved = watch.statuses["solved"]
        self.reopened = watch.reopened
        self.escalated = watch.count(t.Escalated)
        self.escalated_by = _sorted(watch.causes)
        self.warnings = watch.count(s.SlaWarning)
        self.breaches = watch.count(s.SlaBreached)
        self.rated = _sorted(watch.ratings)
        self.events = _sorted(watch.topics)
        for what, target in (("language", self.languages), ("channel", self.channels)):
            target.update({v: n for (w, v), n in sorted(watch.by.items()) if w == what})

    def take_calls(self, calls: Calls) -> None:
        self.http = asdict(calls)
        self.http["refused"] = _sorted(calls.refused)
        if calls.unexpected_total:
            first = "; ".join(calls.unexpected[:3])
            self.problems.append(f"{calls.unexpected_total} calls failed unexpectedly: {first}")

    def take_checks(self, checks: Sequence[Check]) -> None:
        """Everything runs, so everything can be checked: what was not counts as a failure too."""
        for check in checks:
            self.invariants[check.name] = check.state
            if not check.ok:
                why = check.detail or "; ".join(check.problems[:3])
                self.problems.append(f"{check.name} ({check.title}) {check.state}: {why}")

    def judge(self, *, interrupted: bool = False) -> None:
        """Did anything happen (unless somebody ended it early), and do those who counted agree?"""
        for name in MUST_HAPPEN:
            if not getattr(self, name) and not interrupted:
                self.problems.append(f"nothing happened: {name.replace('_', ' ')} is 0")
        if self.unsettled:
            self.problems.append(f"still under way: {self.unsettled}")
        tickets, ticketed = sum(self.tickets.values()), self.ledger.get("ticketed", 0)
        if not tickets == self.created == ticketed:
            self.problems.append(
                f"{tickets} tickets in reporting, {self.created} on the topic, {ticketed} in the ledger"
            )


def _sorted(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): number for name, number in sorted(counts.items())}


def as_document(summary: Summary) -> dict[str, Any]:
    return {"ok": summary.ok, **asdict(summary)}


def show(summary: Summary) -> None:
    """For people: facts and a table on stdout, problems on stderr."""
    http = summary.http
    print_facts(
        [
            ("simulated", f"{summary.simulated_from} to {summary.simulated_until}"),
            ("tickets", f"{summary.created} created: {_pairs(summary.tickets)}"),
            ("languages", _pairs(summary.languages)),
            ("channels", _pairs(summary.channels)),
            (
                "work",
                (
                    f"{summary.assigned} assignments ({summary.assigned_by_routing} by routing), "
                    f"{summary.messages} messages, {summary.solved} solutions, "
                    f"{summary.reopened} reopened, {_pairs(summary.rated)}"
                ),
            ),
            (
                "SLA",
                (
                    f"{summary.warnings} warnings, {summary.breaches} breaches, "
                    f"{summary.escalated} escalations ({_pairs(summary.escalated_by)})"
                ),
            ),
            ("events", _pairs(summary.events)),
            ("ledger", _pairs(summary.ledger)),
            (
                "calls",
                (
                    f"{http['made']}, {http['repeated']} repeated, {http['unexpected_total']} unexpected; "
                    f"others came first: {_pairs(http['refused']) or 'never'}"
                ),
            ),
            ("killed", ", ".join(summary.killed)),
        ]
    )
    print_table(("invariant", "state"), list(summary.invariants.items()))
    for problem in summary.problems:
        say(f"FAILED: {problem}")
    verdict = "all is well" if summary.ok else f"{len(summary.problems)} problems"
    say(
        f"{verdict}; {summary.wall_seconds:.0f} s ({summary.start_seconds:.0f} to start), seed {summary.seed}"
    )


def _pairs(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())
