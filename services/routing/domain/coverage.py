"""What conditions have to do with each other: can one ticket match both, does one take all of another?

A condition is a conjunction, and its parts range over few values: those that some condition names,
and "any other". So a set of tickets is kept as one bit mask per field, and the questions are answered
exactly, by looking for a ticket that proves the contrary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from libs.events.base import Channel, Priority
from services.routing.domain.conditions import SINGLE, Condition

CLOSED: Final[dict[str, tuple[Any, ...]]] = {
    "channel": tuple(Channel),
    "priority": tuple(Priority),
    "tier": (1, 2, 3),
}
"""The fields that every ticket has, with all the values there are."""

OTHER: Final = 1
"""The bit of an open field that stands for no value, and for every value that nobody names."""

HAS: Final = 1
HAS_NOT: Final = 2
EVERY_TAG: Final = HAS | HAS_NOT

Literal_ = tuple[str, int]
"""A field, and the mask of the values that are wanted of it."""
Clause = tuple[Literal_, ...]
"""At least one of these holds."""
Region = dict[str, int]
"""A set of tickets: the possible values per field; a field that is absent may have any."""

STEPS_MAX: Final = 500_000
"""Comparisons that one Space spends before it gives up: about a second. Real rule sets take few."""


class TooManySteps(Exception):
    """The conditions overlap in so many ways that the answer was not found in STEPS_MAX."""


class Space:
    """All tickets that these conditions can tell apart. Not thread-safe."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._bits: dict[str, dict[Any, int]] = {
            name: {value: 1 << place for place, value in enumerate(values)}
            for name, values in CLOSED.items()
        }
        self._full: dict[str, int] = {
            name: (1 << len(values)) - 1 for name, values in CLOSED.items()
        }
        self._clauses: dict[int, tuple[Clause, ...]] = {}
        self._masks: dict[int, Region] = {}
        self._kept: list[Condition] = []
        self._steps = STEPS_MAX
        for condition in conditions:
            self._add(condition)

    def together(self, one: Condition, other: Condition) -> bool:
        """True when some ticket matches both."""
        # Tags never stand in the way: a ticket may have all of them.
        masks, others = self._masks[id(one)], self._masks[id(other)]
        for name, mask in masks.items():  # noqa: SIM110 - asked a million times
            if not mask & others.get(name, mask):
                return False
        return True

    def takes_all(self, others: Sequence[Condition], condition: Condition) -> bool:
        """True when every ticket that matches `condition` matches one of `others` too.

        Raises TooManySteps.
        """
        todo = [(region, 0) for region in self._regions(condition)]
        # Those with one clause leave no choice how to miss them: they come first.
        clauses = sorted((self._of(other) for other in others), key=len)
        while todo:
            region, place = todo.pop()
            while place < len(clauses) and self._misses(region, clauses[place]):
                place += 1
            if place == len(clauses):
                return False
            todo += [(smaller, place + 1) for smaller in self._without(region, clauses[place])]
        return True

    # ------------------------------------------------------------------------------- helpers

    def _add(self, condition: Condition) -> None:
        clauses: list[Clause] = []
        for name in SINGLE:
            values = condition.values(name)
            if values:
                clauses.append(((name, self._mask(name, values)),))
        for name, texts in sorted(condition.custom_fields.items()):
            key = f"custom_fields.{name}"
            clauses.append(((key, self._mask(key, texts)),))
        clauses += [(self._tag(tag),) for tag in sorted(set(condition.tags_all))]
        if condition.tags:
            clauses.append(tuple(self._tag(tag) for tag in sorted(set(condition.tags))))
        self._clauses[id(condition)] = tuple(clauses)
        self._masks[id(condition)] = dict(clause[0] for clause in clauses if len(clause) == 1)
        self._kept.append(condition)  # its id must stay its own

    def _of(self, condition: Condition) -> tuple[Clause, ...]:
        return self._clauses[id(condition)]

    def _mask(self, name: str, values: Iterable[Any]) -> int:
        bits = self._bits.setdefault(name, {})
        mask = 0
        for value in values:
            if value not in bits:
                bits[value] = OTHER << (len(bits) + 1)
                self._full[name] = self._full.get(name, OTHER) | bits[value]
            mask |= bits[value]
        return mask

    def _tag(self, tag: str) -> Literal_:
        key = f"tags.{tag}"
        self._full[key] = EVERY_TAG
        return key, HAS

    def _narrow(self, region: Region, literal: Literal_) -> bool:
        """Take away what the literal does not allow. False when nothing remains."""
        name, mask = literal
        region[name] = region.get(name, self._full[name]) & mask
        return region[name] != 0

    def _regions(self, condition: Condition) -> Iterator[Region]:
        """The tickets that match: a region for each tag of `tags`, otherwise one."""
        region: Region = {}
        choice: Clause = ()
        for clause in self._of(condition):
            if len(clause) == 1:
                self._narrow(region, clause[0])
            else:
                choice = clause
        if not choice:
            yield region
        for literal in choice:
            chosen = dict(region)
            self._narrow(chosen, literal)
            yield chosen

    def _misses(self, region: Region, clauses: Sequence[Clause]) -> bool:
        """True when no ticket of the region matches."""
        self._steps -= 1
        if self._steps < 0:
            raise TooManySteps
        return any(
            all(not region.get(name, self._full[name]) & mask for name, mask in clause)
            for clause in clauses
        )

    def _without(self, region: Region, clauses: Sequence[Clause]) -> Iterator[Region]:
        """The parts of the region that do not match: one for each clause that can be broken."""
        for clause in clauses:
            broken = dict(region)
            if all(self._narrow(broken, (name, ~mask)) for name, mask in clause):
                yield broken
