"""The agents as arrays: one place per agent, so that ten thousand are looked at in microseconds."""

from __future__ import annotations

from math import log2
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from libs.events.base import Channel
from services.routing.domain import reasons
from services.routing.domain.agent import Agent
from services.routing.domain.needs import AskedSkill, Needs
from services.routing.domain.rules import primary_language

Ints = NDArray[np.int64]
Bits = NDArray[np.uint16]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NO_LIMIT: Final = 2**31
PLACES_MIN: Final = 64
LANGUAGES_ANY: Final = 8
"""As how many languages it counts when an agent lists none and so serves every one."""
CHANNEL_BITS: Final = {channel: 1 << number for number, channel in enumerate(Channel)}


class Columns:
    """`duty` holds the reasons (bits) why an agent takes nothing at all now, 0 for those on duty.

    `spare` is the capacity less the units in use, below 0 when an agent holds more than the
    capacity. `top` is the highest tier of an agent. `breadth` is the binary logarithm of how many
    kinds of work an agent can do: skills × languages × channels × tiers × groups. `last_given` is when an agent was last given a
    ticket (seconds since 1970, 0 for never). `version` changes with anything but loads.
    """

    def __init__(self) -> None:
        self.agents: list[Agent] = []
        self.places: dict[str, int] = {}
        self.skills: dict[str, int] = {}
        """Skill → how many agents of the house have it."""
        self.skills_version = 0
        """Changes when a skill comes into the house or leaves it."""
        self.version = 0
        self.duty: Bits = np.full(PLACES_MIN, reasons.GONE, np.uint16)
        self.capacity: Ints = np.zeros(PLACES_MIN, np.int64)
        self.load: Ints = np.zeros(PLACES_MIN, np.int64)
        self.top: Ints = np.zeros(PLACES_MIN, np.int64)
        self.breadth: Floats = np.zeros(PLACES_MIN)
        self.last_given: Floats = np.zeros(PLACES_MIN)
        self.order: Ints = np.zeros(PLACES_MIN, np.int64)
        self._order_of = 0
        self._tiers: Ints = np.zeros(PLACES_MIN, np.int64)
        self._channels: Ints = np.zeros(PLACES_MIN, np.int64)
        self._any_language: Flags = np.zeros(PLACES_MIN, np.bool_)
        self._levels: dict[str, Bits] = {}
        self._groups: dict[str, Flags] = {}
        self._languages: dict[str, Flags] = {}
        self._left: dict[Channel, Ints] = {}
        self._limited = 0
        self._loads_version = 0
        self._free: dict[tuple[int, Channel | None], tuple[int, int, Ints]] = {}

    @property
    def size(self) -> int:
        """The places in use; the arrays are longer."""
        return len(self.agents)

    @property
    def empty(self) -> bool:
        """True when there is nobody, those who left aside."""
        return bool((self.duty[: self.size] & reasons.GONE).all())

    @property
    def limits(self) -> bool:
        """True when at least one agent may hold only so many tickets of some channel."""
        return self._limited > 0

    def get(self, agent_id: str) -> Agent | None:
        place = self.places.get(agent_id)
        return None if place is None else self.agents[place]

    def put(self, agent: Agent, duty: int) -> tuple[int, bool]:
        """Take in a new or changed agent. Returns the agent's place, which never changes, and
        whether the agent can serve other tickets than before."""
        place = self.places.get(agent.id)
        new = place is None
        if place is None:
            place = self._append(agent)
        before = self.agents[place]
        changed = new or _profile(before) != _profile(agent)
        self._limited += bool(agent.channel_limits) - bool(before.channel_limits)
        self.agents[place] = agent
        if changed:
            self._serve(place, before, agent)
        self.duty[place] = reasons.GONE if agent.retired else duty
        self.capacity[place] = agent.capacity
        self.top[place] = max(agent.tiers, default=0)
        for channel in Channel:
            limit, old = agent.channel_limits.get(channel), before.channel_limits.get(channel)
            if limit != old:
                left = self._left_of(channel)
                left[place] += (NO_LIMIT if limit is None else limit) - (
                    NO_LIMIT if old is None else old
                )
        self.version += 1
        return place, changed

    def set_duty(self, place: int, duty: int) -> bool:
        """True when that is news."""
        if self.duty[place] == duty or self.agents[place].retired:
            return False
        self.duty[place] = duty
        self.version += 1
        return True

    def use(self, place: int, units: int, channel: Channel, sign: int) -> None:
        """Count a ticket in (sign 1) or out (sign -1)."""
        self.load[place] += sign * units
        self._left_of(channel)[place] -= sign
        self._loads_version += 1

    def free(self, units: int, channel: Channel) -> Ints:
        """The places of those on duty who have room for one more ticket like that."""
        key = (units, channel if self._limited else None)
        version, loads, places = self._free.get(key, (-1, -1, None))
        if places is None or version != self.version or loads != self._loads_version:
            size = self.size
            room = self.capacity[:size] - self.load[:size] >= units
            room &= self.duty[:size] == 0
            if self._limited and channel in self._left:
                room &= self._left[channel][:size] > 0
            places = np.flatnonzero(room)
            self._free[key] = (self.version, self._loads_version, places)
        return places

    def rooms(self, place: int, units: int, channel: Channel) -> int:
        """For how many more tickets like that the agent has room."""
        room = int(self.capacity[place] - self.load[place]) // units
        left = self._left.get(channel)
        if self._limited and left is not None:
            room = min(room, int(left[place]))
        return max(0, room)

    def channel_full(self, place: int, channel: Channel) -> bool:
        left = self._left.get(channel)
        return self._limited > 0 and left is not None and bool(left[place] <= 0)

    def channel_open(self, places: Ints, channel: Channel) -> Flags | bool:
        """For each of these places: True while another ticket of this channel may be held there."""
        left = self._left.get(channel)
        return True if not self._limited or left is None else left[places] > 0

    def id_order(self) -> Ints:
        """The place of each agent in the order of ids: what decides between equals."""
        if self._order_of != self.size:
            ids = np.array([agent.id for agent in self.agents])
            self.order[np.argsort(ids, kind="stable")] = np.arange(self.size)
            self._order_of = self.size
        return self.order

    def unfit(self, needs: Needs, asked: tuple[AskedSkill, ...], some: slice) -> Bits:
        """Why the agents at these places cannot take such a ticket, duty and room aside: bits, 0
        for those who can. `asked` are those skills of the needs that are really asked for."""
        bits: Bits = np.where(self._tiers[some] >> needs.tier & 1, 0, reasons.TIER).astype(
            np.uint16
        )
        if needs.groups:
            members = [self._groups[g][some] for g in needs.groups if g in self._groups]
            inside = np.logical_or.reduce(members) if members else False
            bits |= np.where(inside, 0, reasons.NOT_IN_GROUP).astype(np.uint16)
        served = self._channels[some] & CHANNEL_BITS[needs.channel]
        bits[served == 0] |= reasons.CHANNEL
        if needs.language:
            speaks = self._any_language[some]
            if needs.language in self._languages:
                speaks = speaks | self._languages[needs.language][some]
            bits[~speaks] |= reasons.LANGUAGE
        for skill in asked:
            levels = self._levels.get(skill.name)
            bits[slice(None) if levels is None else levels[some] < skill.level] |= reasons.SKILL
        return bits

    def level(self, asked: tuple[AskedSkill, ...], some: slice) -> Floats:
        """The levels of the agents at these places in the skills asked for, added up."""
        total: Floats = np.zeros(len(self.duty[some]))
        for skill in asked:
            if skill.name in self._levels:
                total += self._levels[skill.name][some]
        return total

    def _append(self, agent: Agent) -> int:
        place = len(self.agents)
        if place == len(self.duty):
            for name in (
                *("duty", "capacity", "load", "top", "breadth", "last_given", "order"),
                *("_tiers", "_channels", "_any_language"),
            ):
                setattr(self, name, _grown(getattr(self, name)))
            named: dict[Any, NDArray[Any]]
            for named in (self._left, self._levels, self._groups, self._languages):
                named |= {key: _grown(array) for key, array in named.items()}
            self.duty[place:] = reasons.GONE
            for left in self._left.values():
                left[place:] = NO_LIMIT
        self.agents.append(Agent(agent.id))
        self.places[agent.id] = place
        return place

    def _left_of(self, channel: Channel) -> Ints:
        left = self._left.get(channel)
        if left is None:
            left = self._left[channel] = np.full(len(self.duty), NO_LIMIT, np.int64)
        return left

    def _serve(self, place: int, before: Agent, agent: Agent) -> None:
        """Note what the agent at this place can serve now."""
        size = len(self.duty)
        self._tiers[place] = sum(1 << tier for tier in set(agent.tiers))
        self._channels[place] = sum(CHANNEL_BITS[c] for c in set(agent.channels) or CHANNEL_BITS)
        self._any_language[place] = not agent.languages
        self.breadth[place] = log2(
            (1 + len(agent.skills))
            * (len(_spoken(agent)) or LANGUAGES_ANY)
            * self._channels[place].item().bit_count()
            * max(1, len(set(agent.tiers)))
            * (1 + len(agent.groups))
        )
        for flags, old, new in (
            (self._groups, before.groups, agent.groups),
            (self._languages, _spoken(before), _spoken(agent)),
        ):
            for name in old:
                if name in flags:
                    flags[name][place] = False
            for name in new:
                flags.setdefault(name, np.zeros(size, np.bool_))[place] = True
        for name in before.skills:
            if name in self._levels:
                self._levels[name][place] = 0
        for name, level in agent.skills.items():
            self._levels.setdefault(name, np.zeros(size, np.uint16))[place] = level
        self._count_skills(before, -1)
        self._count_skills(agent, 1)

    def _count_skills(self, agent: Agent, sign: int) -> None:
        if agent.retired:
            return
        for name in agent.skills:
            count = self.skills.get(name, 0)
            self.skills[name] = count + sign
            self.skills_version += not count
            if not self.skills[name]:
                del self.skills[name]
                self.skills_version += 1


def _spoken(agent: Agent) -> set[str]:
    return {tag for name in agent.languages if (tag := primary_language(name))}


def _profile(agent: Agent) -> tuple[object, ...]:
    """What decides which tickets an agent can serve."""
    served = (agent.groups, agent.tiers, agent.channels, agent.languages)
    return (*served, agent.skills, agent.retired)


def _grown(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, np.zeros_like(array)])
