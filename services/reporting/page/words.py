"""Words that come from the data and are shown in the reader's language: marked for the catalogues."""

from __future__ import annotations

from typing import Final

from services.reporting.page.i18n import N_

STATUSES: Final = (
    N_("new"),
    N_("open"),
    N_("pending"),
    N_("on hold"),
    N_("solved"),
    N_("closed"),
)
PRIORITIES: Final = (N_("low"), N_("medium"), N_("high"), N_("critical"))
CHANNELS: Final = (
    N_("email"),
    N_("form"),
    N_("chat"),
    N_("phone"),
    N_("social"),
    N_("whatsapp"),
    N_("api"),
    N_("import"),
)
PRESENCES: Final = (N_("online"), N_("away"), N_("offline"))
RATINGS: Final = (N_("good"), N_("bad"))
