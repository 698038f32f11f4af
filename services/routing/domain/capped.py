"""Deadlines that lie further ahead than any can: the clock was set back after they were written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.routing.domain.rules import Offers
from services.routing.domain.work import Asked, Work


@dataclass(frozen=True, slots=True)
class Longest:
    """How long intake may take to answer, and a refused ticket stays out of the queue, at most."""

    answer: timedelta
    retry: timedelta


def capped(work: Work, offers: Offers, longest: Longest, now: datetime) -> Work:
    """The ticket with each deadline as far ahead of `now` as one made now could be, at most."""
    kept = work.reservation
    if kept is not None:
        offered = timedelta(seconds=offers.timeout_s)
        until = now + (offered if kept.kind == "offer" else longest.answer)
        kept = replace(kept, until=min(kept.until, until))
    pause = now + timedelta(seconds=offers.decline_pause_s)

    def sooner(asked: Asked | None) -> Asked | None:
        return asked and replace(asked, until=min(asked.until, now + longest.answer))

    return replace(
        work,
        reservation=kept,
        retry_at=work.retry_at and min(work.retry_at, now + longest.retry),
        declined={agent: min(until, pause) for agent, until in work.declined.items()},
        taking_back=sooner(work.taking_back),
        escalating=sooner(work.escalating),
    )
