"""A year of a large desk, generated: lawful streams of tickets, their SLA clocks, and agents.

The same `Plan` gives the same events, whichever pieces it is asked for in and in whatever process.
Inflow follows the season, the weekday and the hour (of `ZONE_H`); tickets come by seven channels in
three languages from requesters of organizations, and are of categories whose shares fall off as they
do on real desks (Zipf). Groups belong to categories; agents take tickets, answer, wait, solve; some
tickets are handed over, escalated, reopened, rated; reply and resolution times are lognormal. What
would happen after the end of the year has not happened: those tickets are the backlog.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

import numpy as np

from libs.events import Event, EventEnvelope, agent, sla
from libs.events import ticket as t
from libs.events.base import Channel, Priority, Status

YEAR_BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
YEAR_H: Final = 365 * 24
ZONE_H: Final = 1
"""The desk's wall clock is an hour ahead of UTC."""
TICKETS_PER_PIECE: Final = 2_000
TEAMS: Final = 12
EVENTS_PER_TICKET: Final = 10
"""About, clocks included."""

CHANNELS: Final = (
    (Channel.EMAIL, 38), (Channel.FORM, 20), (Channel.CHAT, 18), (Channel.PHONE, 11),
    (Channel.WHATSAPP, 7), (Channel.SOCIAL, 3), (Channel.API, 3),
)  # fmt: skip
REPLY_MEDIAN_S: Final = {
    Channel.EMAIL: 5_400, Channel.FORM: 4_800, Channel.CHAT: 60, Channel.PHONE: 45,
    Channel.WHATSAPP: 240, Channel.SOCIAL: 1_800, Channel.API: 7_200,
}  # fmt: skip
LANGUAGES: Final = (("en", 46), ("es", 34), ("ru", 20))
PRIORITIES: Final = (
    (Priority.LOW, 15), (Priority.MEDIUM, 62), (Priority.HIGH, 19), (Priority.CRITICAL, 4),
)  # fmt: skip
TARGET_S: Final = {
    Priority.LOW: 28_800, Priority.MEDIUM: 14_400, Priority.HIGH: 3_600, Priority.CRITICAL: 900,
}  # fmt: skip
CATEGORIES: Final = (
    "access", "billing", "hardware", "network", "software", "mail", "printing", "orders",
    "delivery", "returns", "account", "security", "telephony", "training", "other",
)  # fmt: skip
TAGS: Final = ("vpn", "vip", "refund", "outage", "mobile", "first-contact", "legal", "renewal")
SUBJECTS: Final = {
    "en": ("Printer offline", "Cannot sign in", "The invoice is wrong", "No connection since noon"),
    "es": ("La impresora no responde", "No puedo entrar", "La factura no es correcta", "Sin red"),
    "ru": ("Не работает принтер", "Не могу войти", "Ошибка в счёте", "Нет связи с утра"),
}
BODIES: Final = {
    "en": "We have looked into it. Please try again and tell us whether it works now.",
    "es": "Lo hemos revisado. Pruebe de nuevo y díganos si ya funciona, por favor.",
    "ru": "Мы проверили. Попробуйте ещё раз и сообщите, пожалуйста, работает ли теперь.",
}
HOURS: Final = (2, 1, 1, 1, 1, 2, 5, 14, 40, 78, 95, 92, 70, 66, 82, 84, 74, 52, 30, 20, 14, 10, 6, 4)  # fmt: skip
WEEKDAYS: Final = (118, 112, 106, 102, 92, 26, 18)


@dataclass(frozen=True, slots=True)
class Plan:
    """`tickets` of one year, numbered by creation; `agents` who work on them in teams of equal size;
    `seed` of all that is drawn."""

    tickets: int = 2_000_000
    agents: int = 408
    seed: int = 1

    @property
    def team_size(self) -> int:
        return self.agents // TEAMS

    @property
    def pieces(self) -> int:
        return -(-self.tickets // TICKETS_PER_PIECE)


Streams = list[list[EventEnvelope]]


def piece(plan: Plan, number: int) -> Streams:
    """The streams of one piece of the tickets, in order of creation: each ticket's, then its
    clocks'. `number` counts from 0 to `plan.pieces` - 1."""
    rng = random.Random(plan.seed * 1_000_003 + number)
    first = number * TICKETS_PER_PIECE
    count = min(TICKETS_PER_PIECE, plan.tickets - first)
    places = (first + np.arange(count) + 0.5) / plan.tickets
    hours = np.interp(places, _share_by_hour(), np.arange(YEAR_H + 1))
    streams: Streams = []
    for index in range(count):
        begin = YEAR_BEGIN + timedelta(seconds=int(hours[index] * 3_600), microseconds=index)
        life = _Life(rng, first + index + 1, begin, plan.team_size)
        streams += life.streams()
    return streams


def agents(plan: Plan) -> Iterator[list[EventEnvelope]]:
    """The streams of the agents: a working day on most weekdays, with a break."""
    for number in range(plan.team_size * TEAMS):
        yield _agent(random.Random(plan.seed * 7_919 + number), number, plan.team_size)


_SHARES: dict[int, Any] = {}


def _share_by_hour() -> Any:
    """Of the year's tickets, how many have come by the begin of each hour (0 … 1)."""
    if not _SHARES:
        hour = np.arange(YEAR_H)
        wall = hour + ZONE_H
        weekday = (YEAR_BEGIN.weekday() + wall // 24) % 7
        # Busiest in late November, quietest in summer, and growing by a fifth over the year.
        season = 1 + 0.18 * np.cos((hour / YEAR_H - 0.9) * 2 * math.pi) + 0.2 * hour / YEAR_H
        weights = np.array(HOURS)[wall % 24] * np.array(WEEKDAYS)[weekday] * season
        _SHARES[0] = np.concatenate(([0.0], np.cumsum(weights) / weights.sum()))
    return _SHARES[0]


C = TypeVar("C")


class _Wheel:
    """Draws one of the choices by its weight from a table of 1,000 places."""

    def __init__(self, choices: Any) -> None:
        total = sum(weight for _, weight in choices)
        self._places = [
            choice for choice, weight in choices for _ in range(round(1_000 * weight / total))
        ]

    def draw(self, rng: random.Random) -> Any:
        return self._places[int(rng.random() * len(self._places))]


_CHANNEL = _Wheel(CHANNELS)
_LANGUAGE = _Wheel(LANGUAGES)
_PRIORITY = _Wheel(PRIORITIES)
_CATEGORY = _Wheel([(index, 1 / (index + 1)) for index in range(len(CATEGORIES))])
_DAY_S: Final = 86_400.0


class _Life:
    """One ticket from its creation to whatever came of it within the year."""

    def __init__(self, rng: random.Random, number: int, begin: datetime, team_size: int) -> None:
        self._rng = rng
        # As uuid7 does: ids in the order of creation, which is how histories grow.
        self.id = f"{number:012x}"
        self.id = f"{self.id[:8]}-{self.id[8:]}-7000-8000-{rng.getrandbits(48):012x}"
        self._sla_id = f"sla:{self.id}"
        self._number = number
        self._team_size = team_size
        self._now = self._begin = begin
        self._channel = _CHANNEL.draw(rng)
        self._language = _LANGUAGE.draw(rng)
        self._priority = _PRIORITY.draw(rng)
        self._category = _CATEGORY.draw(rng)
        self._status = Status.NEW
        self._agent = self._somebody_of(self._category % TEAMS)
        self._requester = f"r-{int(rng.random() ** 2 * 300_000)}"
        self._ticket: list[EventEnvelope] = []
        self._clocks: list[EventEnvelope] = []

    def streams(self) -> Streams:
        """The ticket's own stream and, if it has any, that of its clocks."""
        self._create()
        end = YEAR_BEGIN + timedelta(hours=YEAR_H)
        streams = [
            [one for one in stream if one.time < end] for stream in (self._ticket, self._clocks)
        ]
        return [stream for stream in streams if stream]

    def _create(self) -> None:
        rng = self._rng
        category = CATEGORIES[self._category]
        values: dict[str, Any] = {
            "number": self._number,
            "subject": SUBJECTS[self._language][int(rng.random() * 4)],
            "description": BODIES[self._language],
            "requester": t.Requester(
                id=self._requester, organization=f"org-{hash_of(self._requester) % 4_000}"
            ),
            "channel": self._channel,
            "language": self._language,
            "priority": self._priority,
            "category": category,
            "subcategory": f"{category} {1 + int(rng.random() ** 2 * 8)}",
        }
        if rng.random() < 0.3:
            values["tags"] = (TAGS[int(rng.random() ** 2 * len(TAGS))],)
        self._say(t.TicketCreated(**values), f"requester:{self._requester}")
        self._start_clock("first_reply", TARGET_S[self._priority])
        self._wait(2, 0.5)
        if rng.random() < 0.35:
            self._assign(None)
        if rng.random() < 0.985:
            self._work()

    def _work(self) -> None:
        rng = self._rng
        self._wait(REPLY_MEDIAN_S[self._channel] * 0.8, 1.1)
        self._assign(self._agent)
        self._move(Status.OPEN)
        self._wait(REPLY_MEDIAN_S[self._channel] * 0.3, 0.9)
        self._reply()
        self._stop_clock("first_reply", TARGET_S[self._priority])
        if rng.random() < 0.16:
            self._hand_over()
        while rng.random() < 0.15:
            self._ask_back()
        self._solve()
        while rng.random() < 0.08:
            self._reopen()
        if rng.random() < 0.18:
            self._wait(7_200, 1.3)
            rating: Literal["good", "bad"] = "good" if rng.random() < 0.86 else "bad"
            rated = t.SatisfactionRated(rating=rating, requester_id=self._requester)
            self._say(rated, f"requester:{self._requester}")
        self._now += timedelta(days=4)
        self._move(Status.CLOSED, "system")

    def _hand_over(self) -> None:
        rng = self._rng
        self._wait(3_600, 1.0)
        if rng.random() < 0.3:
            cause: t.EscalationCause = "sla" if rng.random() < 0.4 else "manual"
            moved = t.Escalated(tier=2, previous_tier=1, cause=cause)
            self._say(moved, f"agent:{self._agent}")
        self._assign(self._somebody_of(rng.randrange(TEAMS)))

    def _somebody_of(self, team: int) -> str:
        """An agent of the team, which has the ticket from here on."""
        self._group = f"team-{team + 1:02d}"
        return f"agent-{team * self._team_size + self._rng.randrange(self._team_size):03d}"

    def _ask_back(self) -> None:
        self._move(Status.PENDING)
        self._wait(14_400, 1.3)
        self._message("requester", self._requester)
        self._move(Status.OPEN)
        self._wait(3_600, 1.0)
        self._reply()

    def _solve(self) -> None:
        self._wait(1_800, 1.4)
        self._move(Status.SOLVED)

    def _reopen(self) -> None:
        self._wait(_DAY_S / 2, 0.8)
        self._message("requester", self._requester)
        self._move(Status.OPEN)
        self._wait(7_200, 1.0)
        self._reply()
        self._solve()

    # -- single events ----------------------------------------------------------------------------

    def _assign(self, holder: str | None) -> None:
        before = self._agent if self._status is not Status.NEW else None
        event = t.Assigned(
            group=self._group,
            agent=holder,
            previous_agent=before,
            decision_id=None if holder else f"d-{self._number}",
        )
        self._agent = holder or self._agent
        self._say(event, "service:routing")

    def _move(self, status: Status, actor: str = "") -> None:
        event = t.StatusChanged(status=status, previous=self._status)
        self._status = status
        self._say(event, actor or f"agent:{self._agent}")

    def _reply(self) -> None:
        self._message("agent", self._agent)

    def _message(self, author: t.AuthorKind, author_id: str) -> None:
        event = t.MessageAdded(
            message_id=f"m-{self._number}-{len(self._ticket)}",
            author=author,
            author_id=author_id,
            body=BODIES[self._language],
            channel=self._channel,
        )
        self._say(event, f"{author}:{author_id}")

    def _start_clock(self, metric: str, target_s: int) -> None:
        due = self._now + timedelta(seconds=target_s)
        event = sla.ClockStarted(**self._clock(metric), at=self._now, target_s=target_s, due=due)
        self._say_clock(event, self._now)

    def _stop_clock(self, metric: str, target_s: int) -> None:
        elapsed_s = int((self._now - self._begin).total_seconds())
        breached = elapsed_s > target_s
        if breached:
            due = self._begin + timedelta(seconds=target_s)
            over = sla.SlaBreached(**self._clock(metric), due=due, target_s=target_s)
            self._say_clock(over, due)
        event = sla.ClockSatisfied(
            **self._clock(metric),
            at=self._now,
            elapsed_s=elapsed_s,
            target_s=target_s,
            breached=breached,
        )
        self._say_clock(event, self._now)

    def _clock(self, metric: str) -> dict[str, Any]:
        return {
            "ticket_id": self.id,
            "metric": metric,
            "policy": f"{self._priority.value} tickets",
            "policy_version": 1,
            "calendar": "24/7",
            "calendar_version": 1,
            "activation": 1,
        }

    def _wait(self, median_s: float, sigma: float) -> None:
        seconds = median_s * math.exp(self._rng.gauss(0.0, sigma))
        self._now += timedelta(microseconds=int(seconds * 1e6) + 1)

    def _say(self, event: Event, actor: str) -> None:
        self._ticket.append(
            envelope(self.id, len(self._ticket) + 1, event, self._now, actor, self._number)
        )

    def _say_clock(self, event: Event, at: datetime) -> None:
        sequence = len(self._clocks) + 1
        self._clocks.append(
            envelope(self._sla_id, sequence, event, at, "service:sla", self._number)
        )


def _agent(rng: random.Random, number: int, team_size: int) -> list[EventEnvelope]:
    stream_id = f"agent:agent-{number:03d}"
    group = f"team-{number // team_size + 1:02d}"
    registered = agent.AgentRegistered(name=f"Agent {number}", groups=(group,), capacity=6)
    stream = [envelope(stream_id, 1, registered, YEAR_BEGIN, "agent:admin", number)]

    def say(presence: agent.Presence, previous: agent.Presence, at: datetime) -> None:
        event = agent.PresenceChanged(presence=presence, previous=previous)
        who = stream_id.removeprefix("agent:")
        stream.append(envelope(stream_id, len(stream) + 1, event, at, f"agent:{who}", number))

    for day in range(365):
        midnight = YEAR_BEGIN + timedelta(days=day, hours=-ZONE_H)
        on_duty = 0.88 if midnight.weekday() < 5 else 0.2
        if rng.random() > on_duty or day == 0:
            continue
        come = midnight + timedelta(hours=8 + rng.randrange(3), seconds=rng.randrange(1_800))
        pause = come + timedelta(hours=4, seconds=rng.randrange(1_800))
        say("online", "offline", come)
        say("away", "online", pause)
        say("online", "away", pause + timedelta(minutes=45))
        say("offline", "online", come + timedelta(hours=8, seconds=rng.randrange(3_600)))
    return stream


_NO_HASH: Final = "0" * 64


def envelope(
    stream_id: str, sequence: int, event: Event, time: datetime, actor: str, position: int
) -> EventEnvelope:
    """As intake would have recorded it, save for the chain of hashes (no reader here follows it)."""
    return EventEnvelope(
        source="/bitacora/bench",
        type=event.TYPE,
        stream_id=stream_id,
        sequence=sequence,
        position=position,
        time=time,
        recorded_time=time,
        actor=actor,
        correlation_id=stream_id,
        causation_id=f"{stream_id}:{sequence - 1}" if sequence > 1 else "",
        previous_hash=_NO_HASH,
        hash=_NO_HASH,
        data=event.model_dump_json(exclude_defaults=True).encode(),
        _event=event,
    )


def hash_of(text: str) -> int:
    """The same in every process, unlike `hash`."""
    return int.from_bytes(text.encode()[-4:], "big") * 2_654_435_761 % 2**32
