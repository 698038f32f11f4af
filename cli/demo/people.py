"""The desk's people: what they can do, and when they work. Times are the desk's local time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import count
from typing import Any, Final
from zoneinfo import ZoneInfo

from cli.demo.texts import CATEGORIES

ZONE: Final = ZoneInfo("Europe/Madrid")
"""Also that of the default business calendar of the SLA service."""
LUNCH: Final = timedelta(minutes=40)
SATURDAY: Final = 5
LEAD: Final = "lead-01"

EARLY: Final = (time(8, 30), time(16, 0))
DAY: Final = (time(9, 0), time(17, 30))
LATE: Final = (time(11, 0), time(20, 0))


@dataclass(frozen=True, slots=True)
class Shift:
    """Instants with a zone."""

    start: datetime
    lunch: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Agent:
    """`skills`: category → level, 1 to 10. Who works on weekends works every day."""

    id: str
    languages: tuple[str, ...]
    skills: dict[str, int]
    hours: tuple[time, time]
    lunch: time
    tiers: tuple[int, ...] = (1,)
    capacity: int = 4
    group: str = "service desk"
    weekend: bool = False

    def registration(self) -> dict[str, Any]:
        """The body for `POST /v1/agents`."""
        return {
            "id": self.id,
            "name": self.id.replace("agent-", "Agent "),
            "groups": [self.group],
            "skills": [{"name": name, "level": level} for name, level in self.skills.items()],
            "languages": self.languages,
            "tiers": self.tiers,
            "capacity": self.capacity,
        }

    def shifts(self, since: datetime) -> Iterator[Shift]:
        """Every shift that is not over at `since`, one after the other, for ever."""
        today = since.astimezone(ZONE).date()
        for days in count():
            day = today + timedelta(days=days)
            if day.weekday() >= SATURDAY and not self.weekend:
                continue
            start, lunch, end = (
                datetime.combine(day, at, ZONE) for at in (self.hours[0], self.lunch, self.hours[1])
            )
            if end > since:
                yield Shift(start, lunch, end)


def _staff() -> tuple[Agent, ...]:
    orders, deliveries, accounts, devices, payments = CATEGORIES

    def one(
        number: int, languages: str, hours: tuple[time, time], lunch: int, *skills: str, **more: Any
    ) -> Agent:
        levels = {name: 4 + (number + place) % 6 for place, name in enumerate(skills)}
        at = time(lunch // 60, lunch % 60)
        return Agent(f"agent-{number:02}", tuple(languages.split()), levels, hours, at, **more)

    second: dict[str, Any] = {"tiers": (2,), "capacity": 3, "group": "specialists"}
    third: dict[str, Any] = {"tiers": (2, 3), "capacity": 3, "group": "experts"}
    return (
        one(1, "es en", EARLY, 750, orders, deliveries, payments, weekend=True),
        one(2, "es en", EARLY, 795, accounts, devices, payments),
        one(3, "ru en", EARLY, 765, orders, deliveries, accounts, weekend=True),
        one(4, "ru en", EARLY, 810, devices, payments, orders),
        one(5, "en es", DAY, 780, orders, deliveries, accounts, devices),
        one(6, "en ru", DAY, 840, devices, payments, deliveries),
        one(7, "es", DAY, 825, orders, accounts, devices),
        one(8, "ru es", DAY, 795, accounts, devices, deliveries, payments, weekend=True),
        one(9, "es en", LATE, 900, deliveries, payments, accounts),
        one(10, "ru en", LATE, 915, *CATEGORIES, weekend=True),
        one(11, "en es", LATE, 930, devices, payments, orders),
        one(12, "es en", LATE, 945, *CATEGORIES, weekend=True),
        one(21, "es en ru", DAY, 810, orders, deliveries, payments, **second),
        one(22, "es en ru", DAY, 855, accounts, devices, payments, **second),
        one(23, "es en ru", LATE, 930, *CATEGORIES, weekend=True, **second),
        one(31, "es en ru", DAY, 840, *CATEGORIES, **third),
    )


STAFF: Final = _staff()
