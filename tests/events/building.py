"""Envelopes and Hypothesis strategies for the tests of the published language."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from libs.events import (
    Channel,
    Event,
    EventEnvelope,
    Priority,
    Status,
    agent,
    sla,
    ticket,
)
from libs.events.chain import GENESIS

STREAM: Final = "0190f0e0-7c1a-7abc-8def-000000000001"
MORNING: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def envelope_for(event: Event, **changes: Any) -> EventEnvelope:
    """One event as intake would record it first in a stream; `changes` replace attributes, and the
    hash is computed after that unless it is given."""
    attributes: dict[str, Any] = {
        "source": "/bitacora/intake",
        "type": event.TYPE,
        "stream_id": STREAM,
        "sequence": 1,
        "position": 1,
        "time": MORNING,
        "recorded_time": MORNING + timedelta(seconds=1),
        "actor": "agent:7",
        "correlation_id": "c-1",
        "causation_id": "c-1",
        "previous_hash": GENESIS,
        "hash": "",
        "data": event.model_dump_json(exclude_defaults=True).encode(),
        **changes,
    }
    envelope = EventEnvelope(**attributes)
    envelope.hash = envelope.hash or envelope.computed_hash()
    return envelope


def stream_of(*events: Event, stream_id: str = STREAM) -> list[EventEnvelope]:
    """The events as one chained stream, a minute apart."""
    envelopes: list[EventEnvelope] = []
    for index, event in enumerate(events):
        at = MORNING + timedelta(minutes=index)
        envelope = envelope_for(
            event,
            stream_id=stream_id,
            sequence=index + 1,
            position=10 + index,
            time=at,
            recorded_time=at,
            previous_hash=envelopes[-1].hash if envelopes else GENESIS,
        )
        envelopes.append(envelope)
    return envelopes


def created(**fields: Any) -> ticket.TicketCreated:
    """The creation of an ordinary ticket."""
    return ticket.TicketCreated(
        **{
            "number": 1,
            "subject": "A parcel is late",
            "requester": ticket.Requester(id="c-1"),
            "channel": Channel.EMAIL,
            **fields,
        }
    )


def assigned(group: str | None, agent: str | None = None) -> ticket.Assigned:
    return ticket.Assigned(group=group, agent=agent)


def status(to: str, previous: str = "open") -> ticket.StatusChanged:
    return ticket.StatusChanged(status=Status(to), previous=Status(previous))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
words = texts.filter(lambda text: text.strip() != "")
some_word = st.none() | words
instants = st.datetimes(timezones=st.just(UTC))
statuses = st.sampled_from(Status)
_links = st.sampled_from(["follow_up_of", "followed_up_by", "incident_of", "problem_of", "related"])
_causes = st.sampled_from(["manual", "rule", "sla", "hand_over_limit"])
_tiers = st.integers(1, 3)

ticket_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        ticket.TicketCreated,
        number=st.integers(1, 2**53 - 1),
        subject=texts,
        description=texts,
        requester=st.builds(ticket.Requester, id=words, name=st.none() | texts),
        channel=st.sampled_from(Channel),
        status=statuses,
        priority=st.sampled_from(Priority),
        tags=st.lists(words, max_size=3).map(tuple),
        custom_fields=st.dictionaries(words, texts, max_size=3),
        group=some_word,
        agent=some_word,
        imported_from=some_word,
    ),
    st.builds(
        ticket.MessageAdded,
        message_id=words,
        author=st.sampled_from(["requester", "agent", "system"]),
        author_id=words,
        visibility=st.sampled_from(["public", "internal"]),
        body=texts,
        channel=st.sampled_from(Channel),
    ),
    st.builds(ticket.Assigned, group=some_word, agent=some_word),
    st.builds(ticket.Unassigned, reason=st.none() | texts),
    st.builds(ticket.StatusChanged, status=statuses, previous=statuses, substatus=some_word),
    st.builds(
        ticket.PriorityChanged,
        priority=st.sampled_from(Priority),
        previous=st.sampled_from(Priority),
    ),
    st.builds(ticket.CategoryChanged, category=some_word, subcategory=some_word),
    st.builds(
        ticket.TagsChanged,
        added=st.lists(words, max_size=3).map(tuple),
        removed=st.lists(words, max_size=3).map(tuple),
    ),
    st.builds(ticket.CustomFieldChanged, field=words, value=st.none() | texts),
    st.builds(ticket.Escalated, tier=_tiers, previous_tier=_tiers, cause=_causes),
    st.builds(ticket.TicketMerged, into=words),
    st.builds(ticket.TicketLinked, kind=_links, other=words),
    st.builds(
        ticket.SatisfactionRated,
        rating=st.sampled_from(["good", "bad"]),
        requester_id=words,
        solved_at=st.none() | instants,
    ),
    st.builds(ticket.ImportedTicketActivated),
)

foreign_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(agent.AgentRetired),
    st.builds(
        sla.SlaBreached,
        ticket_id=words,
        metric=st.just("first_reply"),
        policy=words,
        policy_version=st.integers(1, 9),
        calendar=words,
        calendar_version=st.integers(1, 9),
        due=instants,
        target_s=st.integers(1, 10**6),
    ),
)


def streams(max_size: int = 12) -> st.SearchStrategy[list[EventEnvelope]]:
    """Any ticket events in any order, sensible or not, with a few of other streams' kinds."""

    def chain(events: Sequence[Event]) -> list[EventEnvelope]:
        return stream_of(*events)

    return st.lists(ticket_events | foreign_events, max_size=max_size).map(chain)
