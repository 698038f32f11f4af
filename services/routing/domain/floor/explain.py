"""Why an agent got a ticket, why the others did not, why nobody did, and why an agent has no work."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from libs.events.routing import Candidate, RejectedCount
from services.routing.domain import reasons
from services.routing.domain.floor.columns import Columns, Flags, Ints
from services.routing.domain.floor.costs import costs, score
from services.routing.domain.floor.kinds import Kind, Kinds
from services.routing.domain.floor.lines import Waiting
from services.routing.domain.floor.matching import Session

CANDIDATES_MAX: Final = 20
"""How many agents a decision record lists by name; all are counted by reason."""

_BITS_OF: Final = np.array([value.bit_count() for value in range(reasons.GONE)], np.uint8)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was looked at for one ticket. `agent` None means nobody.

    `reasons` is the set of reasons as text, in a fixed order: a "nobody" is worth a new record only
    when it changes.
    """

    agent: str | None
    kind: Kind
    candidates: tuple[Candidate, ...]
    rejected: tuple[RejectedCount, ...]

    @property
    def reasons(self) -> str:
        return ",".join(count.reason for count in self.rejected)


class Explainer:
    """Looks at everybody for one ticket. What does not depend on loads is remembered per kind."""

    def __init__(self, columns: Columns, kinds: Kinds) -> None:
        self._columns = columns
        self._kinds = kinds
        self._seen: dict[Kind, tuple[int, dict[int, int], list[Candidate]]] = {}
        self._refusals: dict[tuple[int, int], Candidate] = {}

    def keep(self, kinds: Collection[Kind]) -> None:
        """Forget what is remembered of other kinds."""
        self._seen = {kind: seen for kind, seen in self._seen.items() if kind in kinds}

    def decision(
        self, kind: Kind, session: Session, now_s: float, ticket: Waiting | None, agent: str | None
    ) -> Decision:
        """The record of giving such a ticket to `agent`, or to nobody (None).

        `ticket` adds what is true of this ticket alone: who declined it.
        """
        serving = self._kinds.serving(kind)
        free = serving.free()
        counts, refused = self._look(serving)
        counts = dict(counts)
        able = serving.able()
        full = able[~self._among(free)[able]] if len(able) > len(free) else able[:0]
        barred = self._barred(kind, session, free, ticket)
        open_ = free[~self._among([*barred])[free]] if barred else free
        candidates = self._named(serving, open_, now_s, agent)
        lacking = [(place, self._lack(serving, place)) for place in full[:CANDIDATES_MAX].tolist()]
        for bit in (reasons.NO_CAPACITY, reasons.CHANNEL_FULL):
            if count := self._count_full(serving, full, bit):
                counts[bit] = count
        for bit in barred.values():
            counts[bit] = counts.get(bit, 0) + 1
        others = [*barred.items(), *lacking]
        for place, bit in others[: CANDIDATES_MAX - len(candidates)]:
            candidates.append(self._rejected(int(place), bit))
        candidates += refused[: CANDIDATES_MAX - len(candidates)]
        rejected = [
            RejectedCount.model_construct(reason=reasons.WORDS[bit], agents=count)
            for bit, count in counts.items()
        ]
        if self._columns.empty:
            rejected.append(RejectedCount.model_construct(reason=reasons.NO_AGENTS, agents=0))
        rejected.sort(key=lambda count: count.reason)
        return Decision(agent, kind, tuple(candidates), tuple(rejected))

    def _barred(
        self, kind: Kind, session: Session, free: Ints, ticket: Waiting | None
    ) -> dict[int, int]:
        """Place → why the agent is not given this ticket, although free and able."""
        barred = dict.fromkeys((int(p) for p in session.kept(kind, free)), reasons.KEPT)
        if ticket is not None and ticket.declined:
            allowed = session.free_for(ticket)
            for place in free[~np.isin(free, allowed)]:
                barred.setdefault(int(place), reasons.DECLINED)
        return barred

    def _named(self, kind: Kind, free: Ints, now_s: float, agent: str | None) -> list[Candidate]:
        """The best of these, and the one who was chosen: affinity may prefer one who is not."""
        cost = costs(kind, self._columns, free)
        if len(free) > CANDIDATES_MAX:
            near = np.argpartition(cost, CANDIDATES_MAX - 1)[:CANDIDATES_MAX]
            chosen = np.flatnonzero(free == self._columns.places.get(agent or "", -1))
            if len(chosen) and chosen[0] not in near:
                near[-1] = chosen[0]
            free, cost = free[near], cost[near]
        free = free[np.argsort(cost, kind="stable")]
        scores = score(kind, self._columns, free, now_s)
        return [
            Candidate.model_construct(
                agent=self._columns.agents[place].id, score=float(value), rejected=()
            )
            for place, value in zip(free.tolist(), scores, strict=True)
        ]

    def _lack(self, kind: Kind, place: int) -> int:
        if not self._columns.limits:
            return reasons.NO_CAPACITY
        full = self._columns.channel_full(int(place), kind.needs.channel)
        short = self._columns.capacity[place] - self._columns.load[place] < kind.needs.units
        return (reasons.CHANNEL_FULL if full else 0) | (reasons.NO_CAPACITY if short else 0)

    def _count_full(self, kind: Kind, full: Ints, bit: int) -> int:
        if not self._columns.limits:
            return len(full) if bit == reasons.NO_CAPACITY else 0
        return sum(1 for place in full if self._lack(kind, place) & bit)

    def _among(self, places: Ints | list[int]) -> Flags:
        """By place: True for these."""
        among: Flags = np.zeros(self._columns.size, np.bool_)
        among[places] = True
        return among

    def _rejected(self, place: int, bits: int) -> Candidate:
        refusal = self._refusals.get((place, bits))
        if refusal is None:
            refusal = self._refusals[place, bits] = Candidate.model_construct(
                agent=self._columns.agents[place].id, score=None, rejected=reasons.words(bits)
            )
        return refusal

    def _look(self, kind: Kind) -> tuple[dict[int, int], list[Candidate]]:
        """(reason → how many have it, those who are refused and have the fewest reasons)."""
        seen = self._seen.get(kind)
        if seen is None or seen[0] != self._columns.version:
            bits = kind.bits()
            alike = np.bincount(bits[bits < reasons.GONE], minlength=1)
            combinations = [(int(some), int(alike[some])) for some in np.flatnonzero(alike)]
            counts = {
                bit: count
                for bit in reasons.WORDS
                if (count := sum(agents for some, agents in combinations if some & bit))
            }
            refused = np.flatnonzero((bits > 0) & (bits < reasons.GONE))
            if len(refused) > CANDIDATES_MAX:
                weight = _BITS_OF[bits[refused]]
                # Stable, so that kinds name the same agents, whose refusals are made already.
                refused = refused[np.argsort(weight, kind="stable")[:CANDIDATES_MAX]]
            ranked = sorted(
                (int(_BITS_OF[bits[place]]), self._columns.agents[place].id, int(place))
                for place in refused.tolist()
            )
            named = [self._rejected(place, int(bits[place])) for _, _, place in ranked]
            seen = self._seen[kind] = (self._columns.version, counts, named)
        return seen[1], seen[2]
