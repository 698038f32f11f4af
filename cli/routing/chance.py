"""Handling times and answers that nobody recorded: drawn, and for one seed always the same.

What is drawn for a ticket depends on the seed and the ticket alone, not on the order of events: so two
rule sets are compared over the same day.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt
from random import Random

from services.routing.domain.simulation import Answer


def handling_s(ticket: str, mean_s: float, spread: float, seed: int) -> float:
    """Seconds, drawn from a lognormal distribution with this mean. `spread` is the standard deviation
    as a share of the mean; 0: always the mean. At least one second."""
    if spread <= 0:
        return max(1.0, mean_s)
    sigma2 = log(1 + spread * spread)
    normal = Random(f"{seed}:handle:{ticket}").gauss(0.0, 1.0)
    return max(1.0, mean_s * exp(sqrt(sigma2) * normal - sigma2 / 2))


def drawn_answers(
    seed: int, *, after_s: float = 0.0, declined: float = 0.0, missed: float = 0.0
) -> Callable[[str, str, int], Answer]:
    """Offers are answered after so many seconds; these shares of them are declined, or not answered."""

    def answer(ticket: str, agent: str, asked_before: int) -> Answer:
        name = f"{seed}:answer:{ticket}:{agent}:{asked_before}"
        drawn = Random(name).random()
        if drawn < declined:
            return Answer("declined", after_s)
        return Answer("missed" if drawn < declined + missed else "accepted", after_s)

    return answer
