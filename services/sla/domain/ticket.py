"""All clocks of one ticket, driven by the ticket's events: `advance(ticket, event) -> (ticket, facts)`.

Time never runs back: an event that is dated before one that was already applied counts at the
later instant. An event dated `t` first lets everything happen that fell due up to `t`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from libs.events import ticket as t
from libs.events.sla import Metric
from services.sla.domain import clocks as c
from services.sla.domain import fields as f
from services.sla.domain.book import Book, Terms
from services.sla.domain.metrics import (
    BY_QUESTION,
    BY_UPDATE,
    ENDED,
    METRICS,
    Begin,
    MetricRules,
    Phase,
)
from services.sla.domain.policy import Asked
from services.sla.domain.spans import Moment, runs_of
from services.sla.domain.state import CANCELLED, PAUSED, RUNNING, SATISFIED, Clock, Facts, Kept


class TicketClocks(Kept, frozen=True, array_like=True, gc=False):
    """What the clocks need to know of a ticket.

    `fields`, `tags` and `links` are what policies may ask about (see `fields`, `policy.Asked`); `history` is every status. `clocks` has one
    clock per metric, the latest activation. `cause` is the sequence of the event that last changed a
    clock, `correlation` its conversation. `replied_us` is the last public message of an agent, `asked_us`
    the oldest message of the requester after it, `began_us` the creation or the last reopening, and
    `answered` whether a public reply followed that; `…_by` are the sequences of those events.
    """

    created_us: int
    last_us: int
    live: bool
    status: str
    fields: dict[str, str]
    tags: tuple[str, ...]
    history: tuple[Moment, ...]
    clocks: tuple[Clock, ...] = ()
    opened_by_agent: bool = False
    replied_us: int | None = None
    merged: bool = False
    cause: int = 0
    correlation: str = ""
    replied_by: int = 0
    asked_us: int | None = None
    asked_by: int = 0
    began_us: int = 0
    began_by: int = 1
    answered: bool = False
    links: tuple[str, ...] = ()

    @property
    def asked(self) -> Asked:
        """What policies may ask of it."""
        return Asked(self.fields, self.tags, self.links, self.live)


class Cause(NamedTuple):
    """What surrounds a ticket event: when it happened, its sequence, who did it, its conversation."""

    at_us: int
    sequence: int = 0
    actor: str = "system"
    correlation: str = ""


class Step(NamedTuple):
    """What an event is applied with: its instant (never before an earlier event's), its sequence."""

    at_us: int
    cause: int
    book: Book


Moved = tuple[TicketClocks, Facts]


def advance(
    ticket: TicketClocks | None, event: Any, cause: Cause, book: Book
) -> tuple[TicketClocks | None, Facts]:
    """The ticket after this event, and the facts to publish. An event of a ticket that was never
    created here changes nothing, and neither does one of an unknown type, but for the time."""
    if ticket is None:
        return _create(event, cause, book) if isinstance(event, t.TicketCreated) else (None, [])
    step = Step(max(cause.at_us, ticket.last_us), cause.sequence, book)
    before = ticket.clocks
    if isinstance(event, t.ImportedTicketActivated):
        ticket = ticket._replace(live=True)
    ticket, facts = expire(ticket, step.at_us, book)
    ticket, names = _told(ticket, event)
    change = _CHANGES.get(type(event))
    if change is not None:
        ticket, more = change(ticket, event, step)
        facts += more
    if names:
        ticket, more = _asked_anew(ticket, names, step)
        facts += more
    ticket = ticket._replace(last_us=step.at_us)
    if ticket.clocks is not before:
        ticket = ticket._replace(cause=cause.sequence, correlation=cause.correlation)
    return ticket, facts


def expire(ticket: TicketClocks, until_us: int, book: Book) -> Moved:
    """Let every warning and breach happen that fell due up to and including `until_us`, by the
    calendars and time zones of `book`."""
    ticket, facts = reckon_anew(ticket, until_us, book)
    ticket, said = _fall_due(ticket, until_us, book)
    return ticket, sorted(facts + said, key=lambda fact: fact.at_us) if facts else said


def _fall_due(ticket: TicketClocks, until_us: int, book: Book) -> Moved:
    for clock in ticket.clocks:
        if (turns_us := clock.turns_us) is not None and turns_us <= until_us:
            break
    else:
        return ticket, []
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        if (turns_us := clock.turns_us) is None or turns_us > until_us:
            after.append(clock)
            continue
        fired, said = c.fire(clock, c.terms_of(clock, book), until_us)
        after.append(fired)
        facts += said
    facts.sort(key=lambda fact: fact.at_us)
    return ticket._replace(clocks=tuple(after)), facts


def reckon_anew(ticket: TicketClocks, at_us: int, book: Book) -> Moved:
    """Bring clocks up to date whose calendar was edited since they last reckoned, or whose time zones
    were replaced; the same ticket when there is none."""
    for clock in ticket.clocks:
        if c.stale(clock, book):
            break
    else:
        return ticket, []
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        if not c.stale(clock, book):
            after.append(clock)
            continue
        runs = runs_of(ticket.history, METRICS[clock.metric], clock.started_us)
        moved, said = c.reckon_anew(clock, c.terms_of(clock, book), runs, at_us)
        after.append(moved)
        facts += said
    return ticket._replace(clocks=tuple(after)), facts


def _anchor(ticket: TicketClocks, rules: MetricRules) -> tuple[int, int] | None:
    """When the present activation of this metric begins or began, and by which event; None: there is
    nothing to wait for."""
    if ticket.merged or ticket.status in ENDED:
        return None
    match rules.begins:
        case Begin.CREATION:
            return ticket.created_us, 1
        case Begin.OPENING:
            if ticket.answered or ticket.opened_by_agent:
                return None
            return ticket.began_us, ticket.began_by
        case Begin.QUESTION:
            # Before the first reply the oldest unanswered message is the ticket itself: first_reply.
            if ticket.asked_us is None or (
                ticket.replied_us is None and not ticket.opened_by_agent
            ):
                return None
            return ticket.asked_us, ticket.asked_by
        case Begin.UPDATE:
            if ticket.replied_us is None:
                return None
            return max((ticket.replied_us, ticket.replied_by), (ticket.began_us, ticket.began_by))


def _create(event: t.TicketCreated, cause: Cause, book: Book) -> Moved:
    ticket = TicketClocks(
        created_us=cause.at_us,
        last_us=cause.at_us,
        live=event.imported_from is None,
        status=str(event.status),
        fields=f.fields_of(event),
        tags=tuple(event.tags),
        history=(Moment(cause.at_us, str(event.status), cause.sequence),),
        opened_by_agent=cause.actor.startswith("agent:"),
        cause=cause.sequence,
        correlation=cause.correlation,
        began_us=cause.at_us,
    )
    return _match(ticket, Step(cause.at_us, cause.sequence, book))


def _match(ticket: TicketClocks, step: Step, only: frozenset[Metric] | None = None) -> Moved:
    """Hold the ticket to the policy that matches it now: start, retarget and cancel clocks.

    `only`: leave clocks alone that run, and start those of these metrics."""
    wanted = step.book.targets_at(ticket.asked, step.at_us)
    if only is not None:
        wanted = {metric: terms for metric, terms in wanted.items() if metric in only}
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        terms = wanted.pop(clock.metric, None)
        if only is not None and (terms is None or clock.active):
            after.append(clock)
            continue
        changed, said = _rematch(ticket, clock, terms, step)
        after.append(changed)
        facts += said
    for metric, terms in wanted.items():
        started, said = _started(ticket, metric, terms, step)
        if started is not None:
            after.append(started)
            facts += said
    return ticket._replace(clocks=tuple(after)), facts


def _rematch(
    ticket: TicketClocks, clock: Clock, terms: Terms | None, step: Step
) -> tuple[Clock, Facts]:
    if not clock.active:
        if terms is None:
            return clock, []
        started, said = _started(ticket, clock.metric, terms, step, before=clock)
        return (clock, []) if started is None else (started, said)
    if terms is None:
        held = c.terms_of(clock, step.book)
        return c.cancel(clock, held, step.at_us, step.cause, "no_target")
    if _same(clock, terms):
        return clock, []
    runs = runs_of(ticket.history, METRICS[clock.metric], clock.started_us)
    return c.retarget(clock, terms, runs, step.at_us, step.cause)


def _started(
    ticket: TicketClocks, metric: Metric, terms: Terms, step: Step, before: Clock | None = None
) -> tuple[Clock | None, Facts]:
    """The present activation of this metric, unless there is none or it has ended."""
    rules = METRICS[metric]
    anchor = _anchor(ticket, rules)
    if anchor is None:
        return None, []
    at_us, by = anchor
    if before is not None and before.started_by == by and before.state != CANCELLED:
        return None, []
    runs = runs_of(ticket.history, rules, at_us)
    return c.start(metric, terms, at_us, runs, step.at_us, step.cause, started_by=by, before=before)


def _same(clock: Clock, terms: Terms) -> bool:
    """An edit alone (new versions, same terms) is no reason to touch a clock that runs."""
    return (
        clock.policy == terms.policy
        and clock.target_us == terms.target_us
        and clock.calendar == terms.calendar.name
    )


def _status(ticket: TicketClocks, event: t.StatusChanged, step: Step) -> Moved:
    status = str(event.status)
    if status == ticket.status:
        return ticket, []
    ended, reopened = status in ENDED, ticket.status in ENDED and status not in ENDED
    moment = Moment(step.at_us, status, step.cause)
    ticket = ticket._replace(status=status, history=(*ticket.history, moment))
    if ended:
        # The solution answers whatever was asked.
        ticket = ticket._replace(asked_us=None)
    elif reopened:
        ticket = ticket._replace(began_us=step.at_us, began_by=step.cause, answered=False)
    if ticket.merged:
        return ticket, []
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        moved, said = _move(ticket, clock, step)
        after.append(moved)
        facts += said
    if facts:
        ticket = ticket._replace(clocks=tuple(after))
    if reopened:
        # What changed while the ticket was solved counts from here on, and the reply clocks anew.
        ticket, said = _match(ticket, step)
        facts += said
    ticket, said = _fall_due(ticket, step.at_us, step.book)
    return ticket, facts + said


def _move(ticket: TicketClocks, clock: Clock, step: Step) -> tuple[Clock, Facts]:
    """Let one clock follow the status of its ticket."""
    rules = METRICS[clock.metric]
    phase = rules.phases[ticket.status]
    if clock.state == CANCELLED or (clock.state == SATISFIED and rules.ends_with_reply):
        return clock, []
    if phase is Phase.RUN and clock.state != RUNNING:
        runs = runs_of(ticket.history, rules, clock.started_us)
        return c.resume(clock, c.terms_of(clock, step.book), runs, step.at_us, step.cause)
    if phase is Phase.PAUSE and clock.state != PAUSED:
        return c.pause(clock, c.terms_of(clock, step.book), step.at_us, step.cause)
    if phase is Phase.END and clock.state != SATISFIED:
        return c.satisfy(clock, c.terms_of(clock, step.book), step.at_us, step.cause)
    return clock, []


def _message(ticket: TicketClocks, event: t.MessageAdded, step: Step) -> Moved:
    if event.visibility != "public" or event.author == "system":
        return ticket, []
    if event.author == "requester":
        if ticket.asked_us is not None:
            return ticket, []
        ticket = ticket._replace(asked_us=step.at_us, asked_by=step.cause)
        return _begin(ticket, BY_QUESTION, step)
    ticket = ticket._replace(
        replied_us=step.at_us, replied_by=step.cause, answered=True, asked_us=None
    )
    ticket, facts = _end(
        ticket,
        step,
        lambda clock: METRICS[clock.metric].ends_with_reply,
        lambda clock, terms: c.satisfy(clock, terms, step.at_us, step.cause),
    )
    ticket, said = _begin(ticket, BY_UPDATE, step)
    return ticket, facts + said


def _begin(ticket: TicketClocks, metrics: frozenset[Metric], step: Step) -> Moved:
    """Activate clocks of these metrics, as far as there are targets."""
    if metrics.isdisjoint(step.book.metrics):
        return ticket, []
    begun, facts = _match(ticket, step, only=metrics)
    return (begun, facts) if facts else (ticket, [])


def _merged(ticket: TicketClocks, _event: t.TicketMerged, step: Step) -> Moved:
    return _end(
        ticket._replace(merged=True),
        step,
        lambda _: True,
        lambda clock, terms: c.cancel(clock, terms, step.at_us, step.cause, "merged"),
    )


def _end(
    ticket: TicketClocks,
    step: Step,
    which: Callable[[Clock], bool],
    how: Callable[[Clock, Terms], tuple[Clock, Facts]],
) -> Moved:
    """End the active clocks for which `which` holds."""
    after: list[Clock] = []
    facts: Facts = []
    for clock in ticket.clocks:
        if clock.active and which(clock):
            ended, said = how(clock, c.terms_of(clock, step.book))
            after.append(ended)
            facts += said
        else:
            after.append(clock)
    return (ticket._replace(clocks=tuple(after)) if facts else ticket), facts


def _told(ticket: TicketClocks, event: Any) -> tuple[TicketClocks, frozenset[str]]:
    """The ticket with what this event tells of it, and the names of the fields that changed."""
    match event:
        case t.TagsChanged():
            tags = (set(ticket.tags) - set(event.removed)) | set(event.added)
            same = tags == set(ticket.tags)
            return ticket._replace(tags=tuple(sorted(tags))), _NOTHING if same else _TAGS
        case t.TicketLinked():
            links = {*ticket.links, str(event.kind), f"{event.kind}:{event.other}"}
            same = links == set(ticket.links)
            return ticket._replace(links=tuple(sorted(links))), _NOTHING if same else _LINKS
        case t.ImportedTicketActivated():
            return ticket, _LIVE
    changes = f.changes_of(event, ticket.fields)
    if not changes:
        return ticket, _NOTHING
    return ticket._replace(fields=f.with_changes(ticket.fields, changes)), frozenset(changes)


_NOTHING: Final = frozenset[str]()
_TAGS: Final = frozenset({"tags"})
_LINKS: Final = frozenset({"links"})
_LIVE: Final = frozenset({"live"})


def _asked_anew(ticket: TicketClocks, names: frozenset[str], step: Step) -> Moved:
    """Some fields have new values: match the policies anew, unless none of them asks for these."""
    policies = step.book.policies_at(step.at_us)
    if policies is None or ticket.status in ENDED or ticket.merged:
        return ticket, []
    if policies.asks_for.isdisjoint(names):
        return ticket, []
    ticket, facts = _match(ticket, step)
    ticket, more = _fall_due(ticket, step.at_us, step.book)
    return ticket, facts + more


Change = Callable[[TicketClocks, Any, Step], Moved]

_CHANGES: Final[dict[type, Change]] = {
    t.MessageAdded: _message,
    t.StatusChanged: _status,
    t.TicketMerged: _merged,
}
"""Events that move clocks by themselves, besides what their fields say to policies."""
