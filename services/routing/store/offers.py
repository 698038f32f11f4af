"""Offers: a ticket that an agent may accept for a while, before the next one is asked.

Refusals (`Rejected`)::

    unknown_offer     404
    not_your_offer    403   it was made to somebody else
    offer_ended       409   it was answered, has run out, or the ticket needs nobody any more
    agent_retired     409   who has left accepts nothing
    agent_needed      422   nobody says who answers
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

from libs.events import AgentCommandEnvelope
from libs.runtime.errors import Rejected
from services.routing.domain import work as works_
from services.routing.domain.instants import instant
from services.routing.domain.work import Reservation, Work
from services.routing.store.step import Cause, Step
from services.routing.views.tables import Offer

Answer = Literal["accepted", "declined"]
AGENT: Final = "agent:"


def who_answers(actor: str, named: str | None) -> str:
    """The agent whose answer it is: an agent answers for themself; anybody else (a desk's own pages,
    say) names the agent. Raises Rejected `not_your_offer` or `agent_needed`."""
    if actor.startswith(AGENT):
        own = actor.removeprefix(AGENT)
        if named is not None and named != own:
            raise Rejected("not_your_offer", "An agent answers only for themself.", status=403)
        return own
    if named is None:
        detail = "Say who answers: `agent` in the body, or the actor agent:ID."
        raise Rejected("agent_needed", detail, status=422)
    return named


def answer(
    step: Step,
    offer_id: str,
    agent_id: str,
    said: Answer,
    reason: str | None,
    asked_by: AgentCommandEnvelope | None = None,
) -> Offer:
    """Take the answer of this agent. The same answer a second time changes nothing.

    Accepted: intake is asked to assign the ticket. Declined: the next one is asked, and this agent
    not before the pause is over. Raises Rejected (see above).
    """
    offer = step.offer(offer_id)
    if offer is None:
        raise Rejected("unknown_offer", f"There is no offer {offer_id!r}.", status=404)
    if offer.agent != agent_id:
        raise Rejected("not_your_offer", "This offer was made to somebody else.", status=403)
    if offer.state == said:
        return offer
    step.load([offer.ticket_id])
    work = step.works.get(offer.ticket_id)
    asked = work.reservation if work else None
    if offer.state != "open" or work is None or asked is None or asked.decision_id != offer.id:
        raise _ended(offer)
    agent = step.floor.columns.get(agent_id)
    if said == "accepted" and (agent is None or agent.retired):
        raise Rejected("agent_retired", f"The agent {agent_id!r} has left and accepts nothing.")
    cause = Cause(f"offer_{said}", f"offer:{offer.id}", asked_by)
    step.end_offer(work, said, cause, reason)
    step.set_misses(agent_id, 0)
    if said == "declined" or agent is None:
        _decline(step, work, asked, cause)
    else:
        step.accept(work, agent, asked, cause)
    return step.offer(offer_id) or offer


def time_out(step: Step, work: Work, asked: Reservation) -> None:
    """The agent has let the offer pass: the next one is asked."""
    cause = Cause("offer_timed_out", f"offer:{asked.decision_id}:timed_out")
    step.end_offer(work, "timed_out", cause)
    step.set_misses(asked.agent, step.misses(asked.agent) + 1)
    _decline(step, work, asked, cause)


def _decline(step: Step, work: Work, asked: Reservation, cause: Cause) -> None:
    pause = timedelta(seconds=step.floor.rules.rules.offers.decline_pause_s)
    step.put(works_.decline(work, asked.agent, step.now + pause, step.now))
    step.causes[work.id] = cause
    step.freed.setdefault(asked.agent, cause)


def _ended(offer: Offer) -> Rejected:
    ended = {
        "accepted": "It was accepted already.",
        "declined": "It was declined already.",
        "timed_out": f"It ran out at {instant(offer.until_us).isoformat()}.",
        "withdrawn": "The ticket needs nobody any more.",
    }
    detail = ended.get(offer.state, "The ticket has moved on.")
    return Rejected("offer_ended", f"The offer has ended. {detail}", state=offer.state)
