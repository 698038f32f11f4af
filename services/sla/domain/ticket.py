"""All clocks of one ticket, driven by the ticket's events: `advance(ticket, event) -> (ticket, facts)`.

Time never runs back: an event that is dated before one that was already applied counts at the
later instant. An event dated `t` first lets everything happen that fell due up to `t`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from libs.events import ticket as t
from libs.events.sla import Metric
from services.sla.domain import clocks as c
from services.sla.domain.clocks import Clock, Facts, Run
from services.sla.domain.metrics import ENDED, METRICS, MetricRules, Phase
from services.sla.domain.policy import Book, Terms


class TicketClocks(NamedTuple):
    """What the clocks need to know of a ticket. A named tuple because it is stored as it is.

    `fields` and `tags` are what policies may ask about; `history` is every status with the instant
    it began; `cause` is the sequence of the event that last changed a clock, `correlation` its
    conversation. `opened_by_agent` and `replied_us` matter to the first reply.
    """

    created_us: int
    last_us: int
    live: bool
    status: str
    fields: dict[str, str]
    tags: tuple[str, ...]
    history: tuple[tuple[int, str], ...]
    clocks: tuple[Clock, ...] = ()
    opened_by_agent: bool = False
    replied_us: int | None = None
    merged: bool = False
    cause: int = 0
    correlation: str = ""


class Cause(NamedTuple):
    """What surrounds a ticket event: when it happened, its sequence, who did it, its conversation."""

    at_us: int
    sequence: int = 0
    actor: str = "system"
    correlation: str = ""


def advance(
    ticket: TicketClocks | None, event: Any, cause: Cause, book: Book
) -> tuple[TicketClocks | None, Facts]:
    """The ticket after this event, and the facts to publish. An event of a ticket that was never
    created here changes nothing, and neither does one of an unknown type, but for the time."""
    if ticket is None:
        return _create(event, cause, book) if isinstance(event, t.TicketCreated) else (None, [])
    if isinstance(event, t.ImportedTicketActivated):
        ticket = ticket._replace(live=True)
    at_us = max(cause.at_us, ticket.last_us)
    before = ticket.clocks
    ticket, facts = expire(ticket, at_us, book)
    change = _CHANGES.get(type(event))
    if change is not None:
        ticket, more = change(ticket, event, at_us, book)
        facts += more
    ticket = ticket._replace(last_us=at_us)
    if ticket.clocks is not before:
        ticket = ticket._replace(cause=cause.sequence, correlation=cause.correlation)
    return ticket, facts


def expire(ticket: TicketClocks, until_us: int, book: Book) -> tuple[TicketClocks, Facts]:
    """Let every warning and breach happen that fell due up to and including `until_us`."""
    if all(clock.next_us is None or clock.next_us > until_us for clock in ticket.clocks):
        return ticket, []
    after, facts = [], []
    for clock in ticket.clocks:
        fired, said = c.fire(clock, c.terms_of(clock, book), until_us)
        after.append(fired)
        facts += said
    facts.sort(key=lambda fact: fact.at_us)
    return ticket._replace(clocks=tuple(after)), facts


def next_us(ticket: TicketClocks) -> int | None:
    """When something will happen to this ticket by itself."""
    return min(
        (clock.next_us for clock in ticket.clocks if clock.next_us is not None), default=None
    )


def runs_of(ticket: TicketClocks, rules: MetricRules) -> Iterator[Run]:
    """The spans during which this metric counted, from the history of the statuses."""
    since_us: int | None = None
    for at_us, status in ticket.history:
        running = rules.phases[status] is Phase.RUN
        if running and since_us is None:
            since_us = at_us
        elif not running and since_us is not None:
            yield since_us, at_us
            since_us = None
    if since_us is not None:
        yield since_us, None


def _create(event: t.TicketCreated, cause: Cause, book: Book) -> tuple[TicketClocks, Facts]:
    organization = event.requester.organization
    fields = {
        "priority": str(event.priority),
        "channel": str(event.channel),
        "category": event.category,
        "subcategory": event.subcategory,
        "organization": organization,
        "language": event.language,
        "group": event.group,
        "tier": "1",
    }
    ticket = TicketClocks(
        created_us=cause.at_us,
        last_us=cause.at_us,
        live=event.imported_from is None,
        status=str(event.status),
        fields={name: value for name, value in fields.items() if value is not None},
        tags=tuple(event.tags),
        history=((cause.at_us, str(event.status)),),
        opened_by_agent=cause.actor.startswith("agent:"),
        cause=cause.sequence,
        correlation=cause.correlation,
    )
    return _match(ticket, cause.at_us, book)


def _match(ticket: TicketClocks, at_us: int, book: Book) -> tuple[TicketClocks, Facts]:
    """Hold the ticket to the policy that matches it now: start, retarget and cancel clocks."""
    wanted = book.targets_at(ticket.fields, ticket.tags, at_us)
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        terms = wanted.pop(clock.metric, None)
        changed, said = _rematch(ticket, clock, terms, at_us, book)
        after.append(changed)
        facts += said
    for metric, terms in wanted.items():
        if _startable(ticket, metric):
            runs = runs_of(ticket, METRICS[metric])
            clock, said = c.start(metric, terms, ticket.created_us, runs, at_us)
            after.append(clock)
            facts += said
    return ticket._replace(clocks=tuple(after)), facts


def _rematch(
    ticket: TicketClocks, clock: Clock, terms: Terms | None, at_us: int, book: Book
) -> tuple[Clock, Facts]:
    if not clock.active:
        if terms is not None and clock.state == c.CANCELLED and _startable(ticket, clock.metric):
            # A target came back: the same activation goes on.
            runs = runs_of(ticket, METRICS[clock.metric])
            return c.start(clock.metric, terms, clock.started_us, runs, at_us, before=clock)
        return clock, []
    if terms is None:
        return c.cancel(clock, c.terms_of(clock, book), at_us, "no_target")
    if _same(clock, terms):
        return clock, []
    return c.retarget(clock, terms, runs_of(ticket, METRICS[clock.metric]), at_us)


def _same(clock: Clock, terms: Terms) -> bool:
    """An edit alone (new versions, same terms) is no reason to touch a clock that runs."""
    return (
        clock.policy == terms.policy
        and clock.target_us == terms.target_us
        and clock.calendar == terms.calendar.name
    )


def _startable(ticket: TicketClocks, metric: Metric) -> bool:
    rules = METRICS[metric]
    if ticket.merged or ticket.status in ENDED:
        return False
    if rules.ends_with_reply and ticket.replied_us is not None:
        return False
    if not rules.resumes and any(status in ENDED for _, status in ticket.history):
        return False
    return rules.for_agents or not ticket.opened_by_agent


def _status(
    ticket: TicketClocks, event: t.StatusChanged, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    status = str(event.status)
    if status == ticket.status:
        return ticket, []
    reopened = ticket.status in ENDED and status not in ENDED
    ticket = ticket._replace(status=status, history=(*ticket.history, (at_us, status)))
    if ticket.merged:
        return ticket, []
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        moved, said = _move(clock, status, at_us, book)
        after.append(moved)
        facts += said
    ticket = ticket._replace(clocks=tuple(after))
    if reopened:
        # What changed while the ticket was solved counts from here on.
        ticket, said = _match(ticket, at_us, book)
        facts += said
    ticket, said = expire(ticket, at_us, book)
    return ticket, facts + said


def _move(clock: Clock, status: str, at_us: int, book: Book) -> tuple[Clock, Facts]:
    """Let one clock follow the status of its ticket."""
    rules = METRICS[clock.metric]
    phase = rules.phases[status]
    if clock.state == c.CANCELLED or (clock.state == c.SATISFIED and not rules.resumes):
        return clock, []
    if phase is Phase.RUN and clock.state != c.RUNNING:
        return c.resume(clock, c.terms_of(clock, book), at_us)
    if phase is Phase.PAUSE and clock.state != c.PAUSED:
        return c.pause(clock, c.terms_of(clock, book), at_us)
    if phase is Phase.END and clock.state != c.SATISFIED:
        return c.satisfy(clock, c.terms_of(clock, book), at_us)
    return clock, []


def _message(
    ticket: TicketClocks, event: t.MessageAdded, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    if event.author != "agent" or event.visibility != "public" or ticket.replied_us is not None:
        return ticket, []
    ticket = ticket._replace(replied_us=at_us)
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        if clock.active and METRICS[clock.metric].ends_with_reply:
            answered, said = c.satisfy(clock, c.terms_of(clock, book), at_us)
            after.append(answered)
            facts += said
        else:
            after.append(clock)
    return (ticket._replace(clocks=tuple(after)) if facts else ticket), facts


def _merged(
    ticket: TicketClocks, _event: t.TicketMerged, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        if clock.active:
            cancelled, said = c.cancel(clock, c.terms_of(clock, book), at_us, "merged")
            after.append(cancelled)
            facts += said
        else:
            after.append(clock)
    return ticket._replace(clocks=tuple(after), merged=True), facts


def _activated(
    ticket: TicketClocks, _event: t.ImportedTicketActivated, _at_us: int, _book: Book
) -> tuple[TicketClocks, Facts]:
    return ticket, []


Fields = Mapping[str, str | None]


def _changed(
    ticket: TicketClocks, changes: Fields, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    """Some fields have new values: match the policies anew, unless none of them asks for these."""
    merged = {**ticket.fields, **changes}
    fields = {name: value for name, value in merged.items() if value is not None}
    return _changed_ticket(ticket._replace(fields=fields), changes.keys(), at_us, book)


def _changed_ticket(
    ticket: TicketClocks, names: Any, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    policies = book.policies_at(at_us)
    if policies is None or ticket.status in ENDED or ticket.merged:
        return ticket, []
    if policies.asks_for.isdisjoint(names):
        return ticket, []
    ticket, facts = _match(ticket, at_us, book)
    ticket, more = expire(ticket, at_us, book)
    return ticket, facts + more


def _priority(
    ticket: TicketClocks, event: t.PriorityChanged, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    return _changed(ticket, {"priority": str(event.priority)}, at_us, book)


def _category(
    ticket: TicketClocks, event: t.CategoryChanged, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    changes = {"category": event.category, "subcategory": event.subcategory}
    return _changed(ticket, changes, at_us, book)


def _assigned(
    ticket: TicketClocks, event: t.Assigned | t.Unassigned, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    group = event.group if isinstance(event, t.Assigned) else None
    if group == ticket.fields.get("group"):
        return ticket, []
    return _changed(ticket, {"group": group}, at_us, book)


def _escalated(
    ticket: TicketClocks, event: t.Escalated, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    return _changed(ticket, {"tier": str(event.tier)}, at_us, book)


def _tags(
    ticket: TicketClocks, event: t.TagsChanged, at_us: int, book: Book
) -> tuple[TicketClocks, Facts]:
    tags = (set(ticket.tags) - set(event.removed)) | set(event.added)
    return _changed_ticket(ticket._replace(tags=tuple(sorted(tags))), ("tags",), at_us, book)


Change = Callable[[TicketClocks, Any, int, Book], tuple[TicketClocks, Facts]]

_CHANGES: Final[dict[type, Change]] = {
    t.MessageAdded: _message,
    t.StatusChanged: _status,
    t.PriorityChanged: _priority,
    t.CategoryChanged: _category,
    t.TagsChanged: _tags,
    t.Assigned: _assigned,
    t.Unassigned: _assigned,
    t.Escalated: _escalated,
    t.TicketMerged: _merged,
    t.ImportedTicketActivated: _activated,
}
