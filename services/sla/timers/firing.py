"""The transaction that fires: everything that is due of some tickets, stated, and what comes next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from libs.runtime.outbox import Outgoing
from services.sla import store
from services.sla.domain.state import Fact
from services.sla.domain.ticket import TicketClocks, expire
from services.sla.handlers import say
from services.sla.timers.table import Armed


class Fired(NamedTuple):
    """The instants of the facts that were stated, ascending, and the timers that were set; `stated` is
    the kind and the metric of each fact."""

    stated_us: list[int]
    armed: list[Armed]
    stated: tuple[tuple[str, str], ...] = ()


def fire(
    connection: Connection,
    outgoing: Outgoing,
    books: store.Books,
    ticket_ids: Iterable[str],
    until_us: int,
) -> Fired:
    """State what fell due of these tickets up to `until_us`, in the order in which it did.

    The tickets' own state decides, under a lock until the commit; the facts go out with the change of
    that state, which remembers that a breach was stated. So a breach is stated once, however often
    and by however many processes its timer is fired: the second one finds it stated (and could not
    take the same sequence of the same stream in the outbox, whose key that is). A ticket that another
    process is working on is left out.
    """
    book = books.read(connection)
    before = store.load(connection, ticket_ids, skip_locked=True)
    after: dict[str, TicketClocks] = {}
    facts: list[tuple[int, str, Fact]] = []
    for ticket_id, ticket in before.items():
        expired, said = expire(ticket, until_us, book)
        if expired is not ticket:
            after[ticket_id] = expired
            facts += [(fact.at_us, ticket_id, fact) for fact in said]
    facts.sort(key=lambda one: one[0])
    for _, ticket_id, fact in facts:
        say(outgoing, ticket_id, [fact], after[ticket_id], book)
    armed = store.save(connection, before, after)
    stated = tuple((str(fact.kind), str(fact.clock.metric)) for _, _, fact in facts)
    return Fired([at_us for at_us, _, _ in facts], armed, stated)
