"""What PUT takes: calendars and policies, as people write them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from services.sla.domain.actions import ActionKind

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,99}$")]
Short = Annotated[str, StringConstraints(max_length=200)]
FieldName = Annotated[str, StringConstraints(max_length=250)]
"""`custom_fields.` and the name of a custom field, which has at most 200 characters."""
Seconds = Annotated[int, Field(strict=True)]
PerCent = Annotated[int, Field(strict=True)]
Shifts = list[list[Short]]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CountryBody(Body):
    country: Short = Field(description="two letters, for example ES")
    subdivision: Short | None = Field(None, description="for example MD")


class CalendarBody(Body):
    """`hours` null means round the clock; a weekday that is missing is closed."""

    id: Name
    zone: Short
    hours: dict[Short, Shifts] | None = Field(
        description='{"mon": [["09:00", "13:00"], ["14:00", "18:00"]], …}; null: round the clock'
    )
    holidays: list[Short] = Field(default_factory=list, description="dates, YYYY-MM-DD")
    holiday_countries: list[CountryBody] = Field(
        default_factory=list, description="their public holidays, looked up now and kept as dates"
    )
    special_days: dict[Short, Shifts] = Field(
        default_factory=dict, description="date → its own hours; an empty list: closed"
    )


class CalendarsBody(Body):
    """New versions of these calendars; others stay as they are, and so do uploaded holidays."""

    calendars: list[CalendarBody] = Field(min_length=1, max_length=500)
    effective_from: AwareDatetime | None = Field(None, description="default: now")


class TargetBody(Body):
    target_s: Seconds = Field(description="seconds of the calendar's open time")
    calendar: Name


class ActionBody(Body):
    do: ActionKind
    whom: list[Short] = Field(
        default_factory=list,
        max_length=20,
        description="notify: assignee (default), group, leads, agent:<id>, group:<name>",
    )
    at: PerCent | None = Field(None, description="on_warning: only at this one, in per cent")


Actions = dict[Short, Annotated[list[Short | ActionBody], Field(max_length=20)]]


class PolicyBody(Body):
    id: Name
    when: dict[FieldName, list[Short]] = Field(
        default_factory=dict, description="field → values, one of which it must have; {}: always"
    )
    targets: dict[Short, dict[Short, TargetBody]] = Field(description="metric → priority → target")
    warn_at: list[PerCent] = Field(default_factory=lambda: [75, 90], max_length=20)
    on_warning: Actions = Field(
        default_factory=dict,
        description="metric → actions: notify, raise_priority, escalate, reroute",
    )
    on_breach: Actions = Field(default_factory=dict, description="metric → actions, as above")

    def document(self) -> dict[str, Any]:
        """As it is stored: what was left out of an action is not in it."""
        return self.model_dump(mode="json") | {
            name: {
                metric: [
                    one
                    if isinstance(one, str)
                    else one.model_dump(mode="json", exclude_defaults=True)
                    for one in actions
                ]
                for metric, actions in getattr(self, name).items()
            }
            for name in ("on_warning", "on_breach")
        }


class PoliciesBody(Body):
    """The whole list, in the order in which it is tried: a new version of it. An empty list: nothing is
    timed any more."""

    policies: list[PolicyBody]
    effective_from: AwareDatetime | None = Field(None, description="default: now")
