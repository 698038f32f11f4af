"""The floor: everybody who works and everything that waits, in memory, at one instant.

Pure: time comes in as an argument, nothing is read or written. The service keeps one in step with
its database; a simulation drives another one through a recorded day.

`columns` the agents as arrays · `kinds` what can be said of all tickets with equal needs ·
`lines` the tickets that wait, in order · `matching` who gets what · `explain` why, and why not ·
`floor` all of it together
"""

from services.routing.domain.floor.explain import Decision
from services.routing.domain.floor.floor import Due, Floor
from services.routing.domain.floor.matching import Match

__all__ = ["Decision", "Due", "Floor", "Match"]
