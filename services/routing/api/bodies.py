"""What people send about agents. The rules that take more than one field to check are in
`domain/agent_checks.py`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from libs.events import agent as values
from libs.events.agent import ClockTime, Presence, Weekday
from libs.events.base import Channel, Instant, Line, Tier, Word
from services.routing.domain.agent import RegisterAgent

ID_MAX: Final = 200

Units = Annotated[int, Field(ge=0, le=10_000, strict=True)]
Words = Annotated[tuple[Word, ...], Field(max_length=200)]
Channels = Annotated[tuple[Channel, ...], Field(max_length=20)]
Limits = Annotated[
    dict[Channel, Units],
    Field(description="most tickets of a channel held at once; the capacity counts besides"),
]
Tiers = Annotated[tuple[Tier, ...], Field(max_length=3)]


def _no_number(value: Any) -> Any:
    """A bare number would be taken for seconds since 1970, or for milliseconds when it is large."""
    if isinstance(value, int | float) or (
        isinstance(value, str) and value.strip(" +-.0123456789") == ""
    ):
        raise ValueError("give an instant with its offset, such as 2026-03-02T09:00:00Z")
    return value


When = Annotated[Instant, BeforeValidator(_no_number)]
"""An instant as people write it: RFC 3339, with its offset."""


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Skill(Body):
    name: Word
    level: int = Field(ge=1, le=10, strict=True)


Skills = Annotated[tuple[Skill, ...], Field(max_length=200)]


class Shift(Body):
    """In wall time, HH:MM; an `end` at or before `start` is on the next day."""

    start: ClockTime
    end: ClockTime


class WorkingHours(Body):
    """A week in wall time of `zone` (a name such as Europe/Madrid); a missing weekday is free."""

    zone: Word
    week: dict[Weekday, Annotated[tuple[Shift, ...], Field(max_length=20)]]


class OutOfOffice(Body):
    """From `start` until `end`, with their offsets (2026-08-03T08:00:00+02:00)."""

    start: When
    end: When
    note: Line | None = None

    def value(self) -> values.OutOfOffice:
        return values.OutOfOffice(start=self.start, end=self.end, note=self.note)


Periods = Annotated[tuple[OutOfOffice, ...], Field(max_length=100)]


class AgentBody(Body):
    """A whole agent, its presence aside. `languages` and `channels` empty: any. `working_hours`
    null: always on duty."""

    name: Word
    groups: Words = ()
    skills: Skills = ()
    languages: Words = ()
    tiers: Tiers = (1,)
    capacity: Units
    channels: Channels = ()
    channel_limits: Limits = Field(default_factory=dict)
    working_hours: WorkingHours | None = None
    out_of_office: Periods = ()
    lead_of: Words = Field((), description="groups whose lead this agent is")
    email: Word | None = None

    def command(self) -> RegisterAgent:
        return RegisterAgent(
            name=self.name,
            capacity=self.capacity,
            groups=self.groups,
            skills=skills_of(self.skills),
            languages=self.languages,
            tiers=self.tiers,
            channels=self.channels,
            channel_limits=self.channel_limits,
            working_hours=hours_of(self.working_hours),
            out_of_office=tuple(period.value() for period in self.out_of_office),
            lead_of=self.lead_of,
            email=self.email,
        )


class NewAgent(AgentBody):
    """The agent is offline until `presence` is set."""

    id: Annotated[str, Field(pattern=r"^[^\s/\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$", max_length=ID_MAX)]


class NameBody(Body):
    name: Word


class PresenceBody(Body):
    presence: Presence
    reason: Word | None = None


class SkillsBody(Body):
    skills: Skills


class CapacityBody(Body):
    capacity: Units


class GroupsBody(Body):
    groups: Words


class LanguagesBody(Body):
    languages: Words


class TiersBody(Body):
    tiers: Tiers


class ChannelsBody(Body):
    """`channels` empty: every channel."""

    channels: Channels
    channel_limits: Limits = Field(default_factory=dict)


class WorkingHoursBody(Body):
    working_hours: WorkingHours | None = Field(description="null: always on duty")


class OutOfOfficeBody(Body):
    """All periods: those that are not named are gone."""

    periods: Periods


class ContactBody(Body):
    email: Word | None = Field(description="null: none")


class LeadershipBody(Body):
    lead_of: Words = Field(description="groups whose lead this agent is")


def skills_of(skills: Skills) -> tuple[values.Skill, ...]:
    return tuple(values.Skill(name=skill.name, level=skill.level) for skill in skills)


def hours_of(hours: WorkingHours | None) -> values.WorkingHours | None:
    return None if hours is None else values.WorkingHours.model_validate(hours.model_dump())
