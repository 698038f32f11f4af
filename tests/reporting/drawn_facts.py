"""Fact tables with rows drawn at random: lawful shapes, small vocabularies, many equal instants."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.reporting.fact_rows import Row, Rows, us

SPAN_US = 40 * 86_400_000_000
STATUSES = ("new", "open", "pending", "on_hold", "solved", "closed")
AGENTS = (None, "ana", "bo", "carl")
GROUPS = (None, "mail", "phone")
KINDS = (
    "created reply requester_message note assigned handed_over group_changed ping_pong escalated"
    " solved reopened closed merged rated"
).split()
DETAILS = {
    "reply": ("first", "next"),
    "solved": ("first", "again", "merged"),
    "rated": ("good", "bad"),
    "escalated": ("manual", "rule", "sla", "hand_over_limit"),
}
TAGS = ((), ("vip",), ("vip", "refund"), ("=cmd()", "refund"))


class Drawn:
    """Rows of all tables, from a seed; instants around `around`, half of them on whole hours."""

    def __init__(self, seed: int, around: str, tickets: int = 12) -> None:
        self._random = Random(seed)
        self._around = us(around)
        self.tickets = [self._ticket(number) for number in range(1, tickets + 1)]
        self.rows: Rows = {
            "tickets": self.tickets,
            "activities": [row for t in self.tickets for row in self._activities(t)],
            "intervals": [row for t in self.tickets for row in self._intervals(t)],
            "verdicts": [row for t in self.tickets for row in self._verdicts(t)],
            "presences": [row for agent in ("ana", "bo") for row in self._presences(agent)],
        }

    def _at(self) -> int:
        shift = self._random.randrange(-SPAN_US // 2, SPAN_US // 2)
        whole = self._random.choice((1, 1_800_000_000))
        return (self._around + shift) // whole * whole

    def _dimensions(self) -> Row:
        pick = self._random.choice
        return {
            "priority": pick(("low", "medium", "high", "critical")),
            "category": pick((None, "refund", "login")),
            "subcategory": pick((None, "late")),
            "channel": pick(("email", "chat", "form")),
            "language": pick((None, "es", "ru")),
            "organization": pick((None, "acme, inc.")),
            "live": pick((True, True, False)),
        }

    def _holder(self) -> Row:
        pick = self._random.choice
        return {"group_name": pick(GROUPS), "agent": pick(AGENTS), "tier": pick((1, 2, 3))}

    def _ticket(self, number: int) -> Row:
        pick, draw = self._random.choice, self._random.randrange
        created, solved = self._at(), pick((None, self._at()))
        seconds = {
            f"{name}_{kind}": None if solved is None else draw(8_000)
            for name in ("resolution", "requester_wait", "agent_work", "on_hold")
            for kind in "sb"
        }
        return {
            "ticket": number,
            "id": f"t-{number}",
            "number": number,
            **self._dimensions(),
            **self._holder(),
            "status": pick(STATUSES),
            "tags": list(pick(TAGS)),
            "requester": pick((None, "r1", "r2")),
            "problem": pick((None, None, "p1")),
            "imported_from": pick((None, "old desk")),
            "merged_into": pick((None, None, None, "t-1")),
            "created_us": created,
            "first_solved_us": pick((None, self._at())),
            "solved_us": solved,
            **seconds,
            "handling_s": None if solved is None else draw(5_000),
            "replies": draw(4),
            "reopens": draw(2),
            "hand_overs": draw(3),
            "one_touch": solved is not None and pick((True, False)),
        }

    def _shared(self, ticket: Row) -> Row:
        names = "priority category subcategory channel language organization live".split()
        return {"ticket": ticket["ticket"], **{name: ticket[name] for name in names}}

    def _activities(self, ticket: Row) -> list[Row]:
        made = []
        for sequence in range(1, self._random.randrange(2, 9)):
            kind = self._random.choice(KINDS)
            value = self._random.choice((None, self._random.randrange(5_000)))
            made.append(
                {
                    **self._shared(ticket),
                    "sequence": sequence,
                    "kind": kind,
                    **self._holder(),
                    "time_us": self._at(),
                    "recorded_us": self._at(),
                    "actor": self._random.choice(("agent:ana", "system")),
                    "value_s": value,
                    "value_b": None if value is None else value // 3,
                    "detail": self._random.choice(DETAILS.get(kind, (None,))),
                }
            )
        return made

    def _intervals(self, ticket: Row) -> list[Row]:
        created = ticket["created_us"]
        count = self._random.randrange(1, 6)
        marks = sorted(max(self._at(), created) for _ in range(count))
        ends: list[Any] = [*marks[1:], None]
        return [
            {
                **self._shared(ticket),
                "ordinal": ordinal,
                **self._holder(),
                "status": self._random.choice(STATUSES),
                "start_us": start,
                "end_us": end,
            }
            for ordinal, (start, end) in enumerate(zip(marks, ends, strict=True))
        ]

    def _verdicts(self, ticket: Row) -> list[Row]:
        made = []
        for metric in ("first_reply", "total_resolution"):
            outcome = self._random.choice(("kept", "breached", "running", "cancelled"))
            made.append(
                {
                    **self._shared(ticket),
                    "metric": metric,
                    "activation": 1,
                    **self._holder(),
                    "policy": self._random.choice(("gold", "basic")),
                    "calendar": "desk",
                    "outcome": outcome,
                    "started_us": self._at(),
                    "at_us": self._at() if outcome in ("kept", "breached") else None,
                }
            )
        return made

    def _presences(self, agent: str) -> list[Row]:
        marks = sorted({self._at() for _ in range(self._random.randrange(6))})
        ends: list[Any] = [*marks[1:], None]
        return [
            {
                "agent": agent,
                "ordinal": ordinal,
                "presence": self._random.choice(("online", "online", "away", "offline")),
                "capacity": 5,
                "groups": self._random.choice(([], ["mail"], ["mail", "phone"])),
                "start_us": start,
                "end_us": end,
            }
            for ordinal, (start, end) in enumerate(zip(marks, ends[: len(marks)], strict=False))
        ]
