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
        N_("Live"),
        "M12 12h.01M8 16a6 6 0 0 1 0-8M16 8a6 6 0 0 1 0 8M5 19a10 10 0 0 1 0-14M19 5a10 10 0 0 1 0 14",
        views=False,
    ),
    Place("/tickets", N_("Tickets"), "M4 6h16M4 12h16M4 18h10", views=False),
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
