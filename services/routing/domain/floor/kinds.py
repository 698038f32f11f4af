"""What can be said of all tickets with equal needs: who is able to take them, and who never is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from libs.events.base import Channel
from services.routing.domain.floor.columns import Bits, Columns, Flags, Floats, Ints
from services.routing.domain.floor.lines import Line, Waiting
from services.routing.domain.needs import AskedSkill, Needs
from services.routing.domain.rules import QueueRule, RoutingRules

SECOND_US: Final = 1_000_000

KINDS_MAX: Final = 1_000
"""More are forgotten when no ticket waits as one of them: each holds arrays as long as the house."""


class Kind:
    """`fit` holds the reasons (bits) why an agent cannot take such tickets, duty and room aside.

    `relaxed` is the kind that a ticket becomes after `relaxed_after_us` of waiting: without its
    least important optional skills. `overflow` is the kind that it becomes after `overflow_after_us`
    of waiting, and whose agents also serve it while nobody on duty is able to; a ticket that was put
    into another group than the queue's has none.
    """

    def __init__(
        self, needs: Needs, queue: QueueRule, rules: RoutingRules, columns: Columns
    ) -> None:
        self.needs = needs
        self.queue = queue
        self.key = needs.key
        self.strategy = queue.strategy or rules.strategy
        self.line = Line()
        self._columns = columns
        self._version = -1
        self._able: Ints = np.zeros(0, np.int64)
        self._room = self._free = self._able
        self._specialists: Flags | None = None
        self._lowest = 0
        self.ask(asked_skills(needs, rules, columns))

    def ask(self, asked: tuple[AskedSkill, ...]) -> None:
        """From now on these skills of the needs are asked for."""
        self.asked = asked
        everybody = slice(len(self._columns.duty))
        self.fit: Bits = self._columns.unfit(self.needs, asked, everybody)
        self.level: Floats = self._columns.level(asked, everybody)

    def put(self, place: int) -> None:
        """The agent at this place is new, or serves other tickets than before."""
        if place >= len(self.fit):
            self.ask(self.asked)
            return
        here = slice(place, place + 1)
        self.fit[here] = self._columns.unfit(self.needs, self.asked, here)
        self.level[here] = self._columns.level(self.asked, here)

    def able(self) -> Ints:
        """The places of those on duty who can take such a ticket, given room."""
        self._look()
        return self._able

    def lowest(self) -> int:
        """The highest tier of the plainest of those who are able: 1 when somebody is who works in
        tier 1 only; the tier of the ticket when nobody is able."""
        self._look()
        return self._lowest

    def specialists(self) -> Flags | None:
        """By place: True for those who are able, now or when they hold less, and of whose tier or
        above it takes somebody; None for what tier 1 can do."""
        self._look()
        return self._specialists

    def free(self) -> Ints:
        """The places of those who could be given such a ticket now."""
        room = self._columns.free(self.needs.units, self.needs.channel)
        if room is not self._room:  # a new answer is a new array
            self._room, self._free = room, room[self.fit[room] == 0]
        return self._free

    def fits(self, place: int) -> bool:
        return bool(self.fit[place] == 0)

    def bits(self) -> Bits:
        """The reasons of everybody in the house, room and tickets aside, by place."""
        size = self._columns.size
        bits: Bits = self.fit[:size] | self._columns.duty[:size]
        return bits

    def _look(self) -> None:
        if self._version == self._columns.version:
            return
        self._able = np.flatnonzero(self.bits() == 0)
        tops = self._columns.top[self._able]
        self._lowest = int(tops.min()) if len(tops) else self.needs.tier
        self._specialists = None
        if self._lowest > 1:
            columns = self._columns
            ever = (self.fit == 0) & (columns.capacity >= self.needs.units)
            self._specialists = ever & (columns.top <= self._lowest)
        self._version = self._columns.version


class Kinds:
    """The kinds that were asked for under one rule set, made when they are first needed.

    `waiting` are those of which at least one ticket waits.
    """

    def __init__(self, rules: RoutingRules, columns: Columns) -> None:
        self._rules = rules
        self._columns = columns
        self.waiting: dict[Kind, None] = {}
        self._declined: dict[Kind, None] = {}
        """Those whose waiting tickets were all declined by somebody."""
        self._kinds: dict[Needs, Kind] = {}
        self._most = KINDS_MAX
        self._skills_version = columns.skills_version
        self._fits: tuple[list[Kind], Bits, Ints] | None = None
        self._wanted: dict[Channel, Ints] = {}
        """Channel → by place, of how many kinds that wait the agent is a specialist."""
        self._wanted_version = -1
        self._relaxed: dict[Needs, Kind | None] = {}
        self._overflow: dict[Needs, Kind | None] = {}

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._kinds.values()))

    def get(self, queue: QueueRule, needs: Needs) -> Kind:
        kind = self._kinds.get(needs)
        if kind is None:
            kind = self._kinds[needs] = Kind(needs, queue, self._rules, self._columns)
            self._fits = None
        return kind

    @property
    def many(self) -> bool:
        """True when it is time to `keep` only some."""
        return len(self._kinds) > self._most

    def keep(self, used: Collection[Kind]) -> None:
        """Forget the other kinds, which are made anew when they are asked for again."""
        self._kinds = {needs: kind for needs, kind in self._kinds.items() if kind in used}
        self._most = max(KINDS_MAX, 2 * len(self._kinds))
        self._relaxed.clear()
        self._overflow.clear()
        self._fits = None

    def relaxed(self, kind: Kind) -> Kind | None:
        """The kind after one more time-out of the optional skills; None: nothing is left to drop."""
        if kind.queue.optional_timeout_s is None:
            return None
        if kind.needs not in self._relaxed:
            needs = kind.needs.relaxed()
            self._relaxed[kind.needs] = None if needs is None else self.get(kind.queue, needs)
        return self._relaxed[kind.needs]

    def overflow(self, kind: Kind) -> Kind | None:
        """The kind whose agents help out; None without an overflow, or when it is already that."""
        if kind.queue.overflow is None:
            return None
        if kind.needs not in self._overflow:
            self._overflow[kind.needs] = self._make_overflow(kind)
        return self._overflow[kind.needs]

    def serving(self, kind: Kind) -> Kind:
        """Whose agents serve such tickets now: the overflow's while nobody on duty is able to."""
        if kind.queue.overflow is None or len(kind.able()):
            return kind
        return self.overflow(kind) or kind

    def at(self, base: Kind, waited_us: int) -> tuple[Kind, int | None]:
        """What a ticket has become that began as `base` and has waited so long, and after how much
        waiting it becomes something else (None: never)."""
        kind, changes = base, []
        step_s = base.queue.optional_timeout_s
        if step_s is not None:
            step_us = step_s * SECOND_US
            for _ in range(waited_us // step_us):
                following = self.relaxed(kind)
                if following is None:
                    break
                kind = following
            if self.relaxed(kind) is not None:
                changes.append((waited_us // step_us + 1) * step_us)
        overflow = base.queue.overflow
        if overflow is not None and overflow.after_s is not None:
            after_us = overflow.after_s * SECOND_US
            if waited_us >= after_us:
                kind = self.overflow(kind) or kind
            else:
                changes.append(after_us)
        return kind, min(changes, default=None)

    def refresh(self, place: int) -> None:
        """The agent at this place is new, or can serve other tickets than before."""
        for kind in self._kinds.values():
            kind.put(place)
        if self._skills_version != self._columns.skills_version:
            self._skills_version = self._columns.skills_version
            for kind in self._kinds.values():
                asked = asked_skills(kind.needs, self._rules, self._columns)
                if asked != kind.asked:
                    kind.ask(asked)
        self._fits = None

    def stand(self, ticket: Waiting) -> None:
        """The ticket stands in the line of its kind from now on."""
        ticket.kind.line.put(ticket)
        self._note_declined(ticket.kind)
        if ticket.kind not in self.waiting:
            self.waiting[ticket.kind] = None
            self._want(ticket.kind, 1)

    def leave(self, ticket: Waiting) -> bool:
        """The ticket stands in its line no more. True when those who were kept for it may not be any
        more: it was the last one there, or the last one that nobody had declined."""
        ticket.kind.line.remove(ticket.id)
        self._note_declined(ticket.kind)
        if len(ticket.kind.line) or ticket.kind not in self.waiting:
            return ticket.kind.line.all_declined
        del self.waiting[ticket.kind]
        self._want(ticket.kind, -1)
        return True

    def served_by(self, place: int) -> list[Kind]:
        """The kinds that the agent at this place can serve, duty and room aside, the overflow's
        work included."""
        if self._fits is None:
            helpers = {kind: self.overflow(kind) or kind for kind in self}
            kinds = list(self)  # those that help out may just have been made
            rows = {kind: row for row, kind in enumerate(kinds)}
            helper = np.array([rows[helpers.get(kind, kind)] for kind in kinds], np.int64)
            fits = np.stack([kind.fit for kind in kinds]) if kinds else np.zeros((0, place + 1))
            self._fits = (kinds, fits.astype(np.uint16), helper)
        kinds, fits, helper = self._fits
        able = fits[:, place] == 0
        return [kinds[row] for row in np.flatnonzero(able | able[helper]).tolist()]

    def wanted(self, places: Ints, now_us: int) -> Flags:
        """For each of these places: True when work waits that the agent there can be given, now or
        with fewer units in use, and that nobody of a lower tier can do."""
        columns = self._columns
        if self._wanted_version != columns.version:
            self._wanted_version = columns.version
            self._wanted = {}
            for kind in self.waiting:
                self._want(kind, 1)
        counts = {channel: wanted[places] for channel, wanted in self._wanted.items()}
        for kind in self._declined:
            specialists = kind.specialists()
            if specialists is not None:
                said_no = [columns.places.get(agent, -1) for agent in kind.line.said_no(now_us)]
                counts[kind.needs.channel] -= specialists[places] & np.isin(places, said_no)
        wanted: Flags = np.zeros(len(places), np.bool_)
        for channel, count in counts.items():
            wanted |= (count > 0) & columns.channel_open(places, channel)
        return wanted

    def _want(self, kind: Kind, sign: int) -> None:
        if self._wanted_version == self._columns.version:
            specialists = kind.specialists()
            if specialists is not None:
                channel = kind.needs.channel
                if channel not in self._wanted:
                    self._wanted[channel] = np.zeros(len(self._columns.duty), np.int64)
                self._wanted[channel][specialists] += sign

    def _note_declined(self, kind: Kind) -> None:
        if kind.line.all_declined:
            self._declined[kind] = None
        else:
            self._declined.pop(kind, None)

    def _make_overflow(self, kind: Kind) -> Kind | None:
        overflow = kind.queue.overflow
        if overflow is None or kind.needs.groups != (kind.queue.group,):
            return None  # a group that the ticket was given by hand binds
        more = tuple(group for group in overflow.groups if group not in kind.needs.groups)
        if not more:
            return None
        own = kind.needs
        needs = Needs(
            own.queue, own.skills, own.language, own.tier, own.channel, own.groups + more, own.units
        )
        return self.get(kind.queue, needs)


def asked_skills(needs: Needs, rules: RoutingRules, columns: Columns) -> tuple[AskedSkill, ...]:
    """The skills that are really asked for (see `RoutingRules.unknown_skills_required`)."""
    if rules.unknown_skills_required:
        return needs.skills
    return tuple(skill for skill in needs.skills if skill.name in columns.skills)
