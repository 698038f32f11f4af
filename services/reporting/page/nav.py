"""The navigation: which pages there are, in which order, under which sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.reporting.page.i18n import N_
from services.reporting.page.i18n import gettext as _
from services.reporting.page.view import View


@dataclass(frozen=True, slots=True)
class Place:
    """`sign`: the path of a 24 × 24 drawing. `views`: the page keeps period and filters."""

    path: str
    title: str
    sign: str
    views: bool = True


PLACES: Final = (
    Place("/", N_("Overview"), "M4 13h6V4H4zM14 20h6V4h-6zM4 20h6v-3H4z"),
    Place(
        "/routing",
        N_("Live operations"),
        "M12 12h.01M8 16a6 6 0 0 1 0-8M16 8a6 6 0 0 1 0 8M5 19a10 10 0 0 1 0-14M19 5a10 10 0 0 1 0 14",
        views=False,
    ),
    Place("/tickets", N_("Tickets"), "M4 6h16M4 12h16M4 18h10", views=False),
    Place(
        "/team",
        N_("Team"),
        "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-3.3 2.7-5.5 6-5.5s6 2.2 6 5.5M16 4.5a3.5 3.5 0 0 1 0 6.3M17.5 15c2 .8 3.5 2.600 3.500 5",
    ),
    Place(
        "/agents",
        N_("Agents"),
        "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c0-3.600 3-6 7-6s7 2.400 7 6",
    ),
    Place("/channels", N_("Channels"), "M4 5h16v11H9l-5 4z"),
    Place("/sla", N_("SLA"), "M12 21a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 9v4l3 2M9 2h6"),
    Place(
        "/satisfaction",
        N_("Satisfaction"),
        "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14c.8 1.300 2 2 3.500 2s2.700-.7 3.500-2M9 9.500h.01M15 9.500h.01",
    ),
    Place(
        "/incidents",
        N_("Repeated incidents"),
        "M4 12a8 8 0 0 1 13.700-5.600L20 9M20 4v5h-5M20 12a8 8 0 0 1-13.700 5.600L4 15M4 20v-5h5",
    ),
)


def entries(current: str, view: View | None) -> list[tuple[str, str, str, bool]]:
    """(address, title, sign, whether it is this page), for the template."""
    return [
        (
            view.address(place.path) if view is not None and place.views else place.path,
            _(place.title),
            place.sign,
            place.path == current,
        )
        for place in PLACES
    ]
