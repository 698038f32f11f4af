"""The parts of an event's JSON that facts follow from.

Twenty million events are folded at a time, so only the fields that are needed are read, without
building the contract's objects. What is not written exactly as our own services write it (a number
in quotes, a word with spaces at its ends, an older version) goes through the contract itself, so that
both ways always give the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

from msgspec import DecodeError, Struct
from msgspec.json import Decoder
from msgspec.json import decode as decode_json
from msgspec.structs import astuple

from libs.events import agent, sla
from libs.events import ticket as t
from libs.events.registry import EVENTS, ContractError


class Requester(Struct):
    id: str
    organization: str | None = None


class Created(Struct):
    number: int
    channel: str
    requester: Requester
    language: str | None = None
    status: str = "new"
    substatus: str | None = None
    priority: str = "medium"
    category: str | None = None
    subcategory: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    agent: str | None = None
    imported_from: str | None = None
    external_ref: str | None = None


class Message(Struct):
    author: str
    visibility: str = "public"


class Assigned(Struct):
    group: str | None = None
    agent: str | None = None


class Unassigned(Struct):
    pass


class StatusChanged(Struct):
    status: str
    substatus: str | None = None


class PriorityChanged(Struct):
    priority: str


class CategoryChanged(Struct):
    category: str | None = None
    subcategory: str | None = None


class TagsChanged(Struct):
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Escalated(Struct):
    tier: int
    cause: str


class Merged(Struct):
    into: str


class Linked(Struct):
    kind: str
    other: str


class Rated(Struct):
    rating: str
    solved_at: str | None = None


class Activated(Struct):
    pass


class Clock(Struct):
    """Every event of a clock: `at` and what follows are set where the event has them."""

    metric: str
    policy: str
    policy_version: int
    calendar: str
    activation: int | None = None
    at: str | None = None
    target_s: int | None = None
    due: str | None = None
    elapsed_s: int | None = None
    breached: bool = False


class Registered(Struct):
    capacity: int
    groups: tuple[str, ...] = ()


class Presence(Struct):
    presence: str


class Capacity(Struct):
    capacity: int


class Groups(Struct):
    groups: tuple[str, ...]


class Retired(Struct):
    pass


SHAPES: Final[dict[str, type[Struct]]] = {
    t.TicketCreated.TYPE: Created,
    t.MessageAdded.TYPE: Message,
    t.Assigned.TYPE: Assigned,
    t.Unassigned.TYPE: Unassigned,
    t.StatusChanged.TYPE: StatusChanged,
    t.PriorityChanged.TYPE: PriorityChanged,
    t.CategoryChanged.TYPE: CategoryChanged,
    t.TagsChanged.TYPE: TagsChanged,
    t.Escalated.TYPE: Escalated,
    t.TicketMerged.TYPE: Merged,
    t.TicketLinked.TYPE: Linked,
    t.SatisfactionRated.TYPE: Rated,
    t.ImportedTicketActivated.TYPE: Activated,
    sla.ClockStarted.TYPE: Clock,
    sla.ClockPaused.TYPE: Clock,
    sla.ClockResumed.TYPE: Clock,
    sla.ClockRetargeted.TYPE: Clock,
    sla.SlaWarning.TYPE: Clock,
    sla.SlaBreached.TYPE: Clock,
    sla.ClockSatisfied.TYPE: Clock,
    sla.ClockCancelled.TYPE: Clock,
    agent.AgentRegistered.TYPE: Registered,
    agent.PresenceChanged.TYPE: Presence,
    agent.AgentCapacityChanged.TYPE: Capacity,
    agent.AgentGroupsChanged.TYPE: Groups,
    agent.AgentRetired.TYPE: Retired,
}
_PLAIN: Final = frozenset((Presence, Capacity, Message))
"""What is read of them cannot be written in two ways."""

_INSTANT_LENGTHS: Final = frozenset(
    (len("2026-01-01T00:00:00Z"), len("2026-01-01T00:00:00.000000Z"))
)
_UNREADABLE: Final = (DecodeError, RecursionError)


@lru_cache(maxsize=1024)
def reader_of(name: str) -> Callable[[str], Any] | None:
    """What reads the data of this type of event, or None when no fact follows from it.

    The reader answers None for data that is none of this type: such an event counts as unknown.
    """
    present = _present(name)
    shape = SHAPES.get(present)
    if shape is None:
        return None
    if shape in (Unassigned, Activated, Retired):
        return _nothing(shape())
    slow = _through_the_contract(name, shape)
    if present != name:
        return slow
    decode = Decoder(shape).decode
    if shape in _PLAIN:
        return _plain(decode, slow)
    return _checked(decode, slow, _FINE.get(shape, _fine))


def present_name(name: str) -> str:
    """The name of the version that events of this type are lifted to (its own, mostly)."""
    return _present(name)


@lru_cache(maxsize=1024)
def _present(name: str) -> str:
    if name in SHAPES:
        return name
    return {old: str(cls.TYPE) for old, cls in EVENTS.lifted()}.get(name, name)  # type: ignore[attr-defined]


def _nothing(value: Struct) -> Callable[[str], Any]:
    return lambda _: value


def _plain(decode: Callable[[str], Any], slow: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(data: str) -> Any:
        try:
            return decode(data)
        except _UNREADABLE:
            return slow(data)

    return read


def _checked(
    decode: Callable[[str], Any], slow: Callable[[str], Any], fine: Callable[[Any], bool]
) -> Callable[[str], Any]:
    def read(data: str) -> Any:
        try:
            made = decode(data)
        except _UNREADABLE:
            return slow(data)
        return made if fine(made) else slow(data)

    return read


def _fine(made: Struct) -> bool:
    """Is every text in it without spaces at its ends, as the contract keeps words?"""
    return all(map(_trimmed, astuple(made)))


def _trimmed(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return bool(value.strip() == value)
    if kind is tuple:
        return all(map(_trimmed, value))
    return kind is not Requester or _fine(value)


def _fine_holder(made: Assigned) -> bool:
    group, agent = made.group, made.agent
    return (group is None or group.strip() == group) and (agent is None or agent.strip() == agent)


def _fine_status(made: StatusChanged) -> bool:
    return made.substatus is None or made.substatus.strip() == made.substatus


def _fine_clock(made: Clock) -> bool:
    at, due = made.at, made.due
    return (
        made.policy.strip() == made.policy
        and made.calendar.strip() == made.calendar
        and (at is None or (len(at) in _INSTANT_LENGTHS and at[-1] == "Z"))
        and (due is None or (len(due) in _INSTANT_LENGTHS and due[-1] == "Z"))
    )


def _fine_rating(made: Rated) -> bool:
    at = made.solved_at
    return at is None or (len(at) in _INSTANT_LENGTHS and at[-1] == "Z")


_FINE: Final[dict[type[Struct], Callable[[Any], bool]]] = {
    Assigned: _fine_holder,
    StatusChanged: _fine_status,
    Clock: _fine_clock,
    Rated: _fine_rating,
}


def _through_the_contract(name: str, shape: type[Struct]) -> Callable[[str], Any]:
    def read(data: str) -> Any:
        try:
            written = EVENTS.decode(name, data.encode()).model_dump_json(exclude_none=True)
        except ContractError:
            return None
        return decode_json(written, type=shape)

    return read


Change = tuple[Callable[[Any, Any], None], Callable[[str], Any]]
"""What an event type does to a state, and what reads its data (None: it counts as unknown)."""

NOTHING: Final[Change] = (lambda _state, _event: None, lambda _data: None)


class Changes(dict[str, Change]):
    """Type name → Change, NOTHING for types that no fact follows from. A name that was seen before
    costs one look-up; names are kept up to a limit, since streams may hold any."""

    KEPT: ClassVar[int] = 1024

    def __init__(self, functions: Mapping[str, Callable[[Any, Any], None]]) -> None:
        self._functions = functions

    def __missing__(self, name: str) -> Change:
        change, read = self._functions.get(present_name(name)), reader_of(name)
        found = NOTHING if change is None or read is None else (change, read)
        if len(self) < self.KEPT:
            self[name] = found
        return found
