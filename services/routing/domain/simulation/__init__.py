"""A day on the floor that never was: recorded arrivals under other rules, staff or strategies.

Pure: times, handling times and agents' answers are data; the same plan always ends the same way.

`plan` what is to happen · `policies` who gives the tickets out: the floor of the service, or what other
systems do · `day` lets it happen · `figures` what came of it
"""

from services.routing.domain.simulation.day import simulate
from services.routing.domain.simulation.figures import Figures, Waits, figures_of
from services.routing.domain.simulation.plan import Answer, Arrival, Plan
from services.routing.domain.simulation.policies import POLICIES, Policy

__all__ = [
    "POLICIES",
    "Answer",
    "Arrival",
    "Figures",
    "Plan",
    "Policy",
    "Waits",
    "figures_of",
    "simulate",
]
