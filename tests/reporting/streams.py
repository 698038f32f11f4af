"""Made-up but lawful streams of every topic, seeded: what reporting's tests and measurements eat."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from libs.events import Event, EventEnvelope, agent, rejection, routing, sla
from libs.events import ticket as t
from libs.events.base import Channel, Priority, Status

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
GROUPS = ("first line", "billing", "network")
PATHS: dict[Status, tuple[Status, ...]] = {
    Status.NEW: (Status.OPEN, Status.SOLVED),
    Status.OPEN: (Status.PENDING, Status.ON_HOLD, Status.SOLVED),
    Status.PENDING: (Status.OPEN, Status.SOLVED),
    Status.ON_HOLD: (Status.OPEN, Status.SOLVED),
    Status.SOLVED: (Status.OPEN, Status.CLOSED),
    Status.CLOSED: (Status.OPEN,),
}
Stream = list[EventEnvelope]


def envelope(
    stream_id: str,
    sequence: int,
    event: Event,
    time: datetime,
    *,
    actor: str = "system",
    cause: str = "",
    position: int = 1,
    recorded: datetime | None = None,
) -> EventEnvelope:
    return EventEnvelope(
        source="/bitacora/test",
        type=event.TYPE,
        stream_id=stream_id,
        sequence=sequence,
        position=position,
        time=time,
        recorded_time=recorded or time + timedelta(milliseconds=250),
        actor=actor,
        correlation_id=stream_id,
        causation_id=cause,
        previous_hash="0" * 64,
        hash="0" * 64,
        data=event.model_dump_json(exclude_defaults=True).encode(),
        _event=event,
    )


class Desk:
    """Draws streams of a small desk. The same seed gives the same streams."""

    def __init__(self, seed: int = 1, *, start: datetime = START, span_days: int = 20) -> None:
        self._random = random.Random(seed)
        self._start = start
        self._span_s = span_days * 86_400
        self._number = 0
        self._position = 0

    def streams(self, tickets: int, *, events: int = 6, agents: int = 3) -> list[Stream]:
        """The streams of `tickets` tickets with up to `events` more events each, their clocks and
        decisions, some refusals, and `agents` agents."""
        result = [self.agent(number) for number in range(1, agents + 1)]
        for _ in range(tickets):
            ticket = self.ticket(events)
            result += [ticket, self.clocks(ticket), self.decisions(ticket)]
            if self._random.random() < 0.1:
                result.append(self.refusal(ticket))
        result += [*self.floor(), self.calendar()]
        return [stream for stream in result if stream]

    def ticket(self, events: int) -> Stream:
        rng = self._random
        self._number += 1
        ticket_id = str(UUID(int=rng.getrandbits(128), version=4))
        moment = self._start + timedelta(seconds=rng.randrange(self._span_s), microseconds=7)
        imported = rng.random() < 0.2
        created = t.TicketCreated(
            number=self._number,
            subject=rng.choice(("Printer <b>on fire</b>", "No puedo entrar", "Не работает почта")),
            description="It does not work. " * 3,
            requester=t.Requester(id=f"r{rng.randrange(50)}", name="A requester"),
            channel=rng.choice(tuple(Channel)),
            language=rng.choice(("en", "es", "ru")),
            priority=rng.choice(tuple(Priority)),
            category=rng.choice(("hardware", "access", None)),
            tags=("vpn",) if rng.random() < 0.3 else (),
            imported_from="elsewhere" if imported else None,
            external_ref=f"INC{self._number:07d}" if imported else None,
        )
        draw = _Drawer(rng, created.status)
        stream = [self._put(ticket_id, 1, created, moment, actor="requester:r1")]
        for sequence in range(2, 2 + rng.randrange(events + 1)):
            moment += timedelta(seconds=rng.randrange(20_000), microseconds=rng.randrange(1000))
            event = draw.event()
            before = stream[-1].id
            stream.append(self._put(ticket_id, sequence, event, moment, "agent:1", before))
        return stream

    def clocks(self, ticket: Stream) -> Stream:
        rng, ticket_id, began = self._random, ticket[0].stream_id, ticket[0].time
        events: list[Event] = []
        common: dict[str, Any] = {"ticket_id": ticket_id, "policy": "standard", "policy_version": 1}
        common |= {"calendar": "24/7", "calendar_version": 1}
        for metric, target_s in (("first_reply", 3600), ("agent_work", 28_800)):
            due = began + timedelta(seconds=target_s)
            base: dict[str, Any] = {**common, "metric": metric}
            events.append(sla.ClockStarted(**base, at=began, target_s=target_s, due=due))
            breached = rng.random() < 0.3
            if rng.random() < 0.3:
                events.append(sla.ClockPaused(**base, at=began, elapsed_s=60))
                events.append(sla.ClockResumed(**base, at=began, elapsed_s=60, due=due))
            if breached:
                events.append(sla.SlaWarning(**base, at=began, fraction=75, due=due))
                events.append(sla.SlaBreached(**base, due=due, target_s=target_s))
            if rng.random() < 0.8:
                elapsed_s = target_s + 100 if breached else target_s - 100
                end = began + timedelta(seconds=elapsed_s)
                events.append(
                    sla.ClockSatisfied(
                        **base, at=end, elapsed_s=elapsed_s, target_s=target_s, breached=breached
                    )
                )
        stream_id = f"sla:{ticket_id}"
        return [
            self._put(stream_id, number, event, began + timedelta(seconds=number), "service:sla")
            for number, event in enumerate(events, 1)
        ]

    def decisions(self, ticket: Stream) -> Stream:
        ticket_id, at = ticket[0].stream_id, ticket[0].time
        rng = random.Random(ticket_id)  # its own: what is drawn here must not move the tickets
        queue = rng.choice(("urgent", "default"))
        needs = routing.TicketNeeds(channel=Channel.CHAT, tier=rng.choice((1, 2)), units=2)
        common: dict[str, Any] = {"ticket_id": ticket_id, "rule_version": "1"}
        common |= {"queue": queue, "needs": needs, "needs_key": queue, "strategy": "most_spare"}
        nobody = routing.TicketRouted(
            decision_id=f"n:{ticket_id}",
            outcome="nobody",
            trigger="ticket_created",
            candidates=(routing.Candidate(agent="2", rejected=("offline", "skill")),),
            rejected=(routing.RejectedCount(reason="offline", agents=3),),
            **common,
        )
        offered: dict[str, Any] = {"decision_id": f"o:{ticket_id}", "agent": "2"}
        events: list[Event] = [
            nobody,
            routing.TicketRouted(
                outcome="offered",
                trigger="agent_freed",
                offer_until=at + timedelta(minutes=1),
                **offered,
                **common,
            ),
            routing.OfferEnded(ticket_id=ticket_id, outcome="timed_out", **offered),
            routing.TicketRouted(
                decision_id=f"d:{ticket_id}",
                outcome="assigned",
                agent="1",
                trigger="offer_timed_out",
                candidates=(routing.Candidate(agent="1", score=4.0),),
                **common,
            ),
            routing.TicketTakenBack(
                ticket_id=ticket_id, agent="1", reason="out_of_office", command_id="c"
            ),
        ]
        return [
            self._put(
                f"decision:{ticket_id}",
                sequence,
                event,
                at + timedelta(seconds=sequence),
                "service:routing",
            )
            for sequence, event in enumerate(events[: rng.randint(1, 5)], 1)
        ]

    def floor(self) -> list[Stream]:
        """What routing says besides of tickets: its rules, why lines wait, who was told, what
        it refused."""
        needs = routing.TicketNeeds(channel=Channel.CHAT, units=2)
        counts = (routing.RejectedCount(reason="off_hours", agents=2),)
        line: dict[str, Any] = {"queue": "urgent", "needs": needs}
        waits = [
            routing.WaitReasonsChanged(waiting=2, oldest_since=self._start, reasons=counts, **line),
            routing.WaitReasonsChanged(waiting=0, **line),
            routing.WaitReasonsChanged(waiting=1, oldest_since=self._start, reasons=counts, **line),
        ]
        told = routing.AgentNotified(
            notification_id="1", agent="1", kind="assigned", outcome="failed", attempts=3
        )
        refused = routing.AgentCommandRefused(
            command_id="k-1",
            command_type="bitacora.AcceptOffer.v1",
            agent="1",
            code="offer_ended",
            detail="The offer has ended.",
        )
        refused = routing.AgentCommandRefused(
            command_id="1", command_type="x", agent="1", code="unknown_offer", detail="None."
        )
        after = self._start + timedelta(days=30)
        return [
            [self._put("needs:1", n, event, after) for n, event in enumerate(waits, 1)],
            [self._put("notification:1", 1, told, after)],
            [self._put("refusal:k-1", 1, refused, after)],
            [self._put("refusal:1", 1, refused, after)],
            [self._put("rules", 1, routing.RoutingRulesChanged(version=1, rules={}), after)],
        ]

    def calendar(self) -> Stream:
        """A business calendar in two versions."""
        week = ("mon", "tue", "wed", "thu", "fri")
        hours: dict[Any, Any] = dict.fromkeys(week, (("09:00", "17:00"),))
        base: dict[str, Any] = {"calendar": "desk", "zone": "Europe/Madrid"}
        later = self._start + timedelta(days=5)
        versions = [
            sla.CalendarDefined(**base, version=1, hours=hours),
            sla.CalendarDefined(**base, version=2, effective_from=later, hours=hours | {"fri": ()}),
        ]
        return [self._put("calendar:desk", n, v, self._start) for n, v in enumerate(versions, 1)]

    def refusal(self, ticket: Stream) -> Stream:
        command_id = str(UUID(int=self._random.getrandbits(128), version=4))
        event = rejection.CommandRejected(
            command_id=command_id,
            command_type="bitacora.ChangeStatus.v1",
            ticket_id=ticket[0].stream_id,
            code="closed_is_final",
            detail="A closed ticket never reopens.",
        )
        return [self._put(command_id, 1, event, ticket[-1].time, "agent:1")]

    def agent(self, number: int) -> Stream:
        stream_id = f"agent:{number}"
        events: list[Event] = [
            agent.AgentRegistered(name=f"Agent {number}", groups=("first line",), capacity=5),
            agent.PresenceChanged(presence="online", previous="offline"),
            agent.AgentCapacityChanged(capacity=7, previous=5),
        ]
        return [
            self._put(stream_id, sequence, event, self._start)
            for sequence, event in enumerate(events, 1)
        ]

    def _put(
        self,
        stream_id: str,
        sequence: int,
        event: Event,
        time: datetime,
        actor: str = "system",
        cause: str = "",
    ) -> EventEnvelope:
        self._position += 1
        return envelope(
            stream_id, sequence, event, time, actor=actor, cause=cause, position=self._position
        )


class _Drawer:
    """The next event of one ticket, lawful after those before it."""

    def __init__(self, rng: random.Random, status: Status) -> None:
        self._rng = rng
        self._status = status

    def event(self) -> Event:
        makers: tuple[Callable[[], Event], ...] = (
            self._assigned,
            self._message,
            self._moved,
            self._moved,
            lambda: t.PriorityChanged(priority=Priority.HIGH, previous=Priority.LOW),
            lambda: t.CategoryChanged(category="access", subcategory="password"),
            lambda: t.TagsChanged(added=("urgent",), removed=("vpn",)),
            lambda: t.CustomFieldChanged(field="order", value=str(self._rng.randrange(9))),
            lambda: t.Escalated(tier=2, previous_tier=1, cause="manual"),
            lambda: t.TicketLinked(kind="related", other="other"),
            t.Unassigned,
        )
        return self._rng.choice(makers)()

    def _assigned(self) -> Event:
        holder = self._rng.choice(("1", "2", "3", None))
        return t.Assigned(group=self._rng.choice(GROUPS), agent=holder)

    def _message(self) -> Event:
        author: Literal["agent", "requester"] = self._rng.choice(("agent", "requester"))
        is_note = self._rng.random() < 0.3 and author == "agent"
        return t.MessageAdded(
            message_id=str(self._rng.random()),
            author=author,
            author_id="1",
            visibility="internal" if is_note else "public",
            body="Have you tried again?",
            channel=Channel.EMAIL,
        )

    def _moved(self) -> Event:
        before = self._status
        self._status = self._rng.choice(PATHS[before])
        return t.StatusChanged(status=self._status, previous=before)


def by_time(streams: list[Stream]) -> Stream:
    """All events in the order of their time: what a live desk looks like."""
    everything = [event for stream in streams for event in stream]
    return sorted(everything, key=lambda e: (e.time, e.stream_id, e.sequence))


def interleaved(streams: list[Stream], rng: random.Random) -> Iterator[EventEnvelope]:
    """The streams mixed at random; each stream keeps its order."""
    turns = [index for index, stream in enumerate(streams) for _ in stream]
    rng.shuffle(turns)
    places = [iter(stream) for stream in streams]
    for index in turns:
        yield next(places[index])


def batches(events: list[EventEnvelope], rng: random.Random, most: int) -> Iterator[Stream]:
    """The events in order, cut into pieces of 1 … `most`."""
    start = 0
    while start < len(events):
        size = rng.randint(1, most)
        yield events[start : start + size]
        start += size
