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
ORIGINS: Final = (N_("live"), N_("imported"))
OUTCOMES: Final = (N_("kept"), N_("breached"), N_("running"), N_("cancelled"))
CAUSES: Final = (N_("manual"), N_("rule"), N_("sla"), N_("hand over limit"))
CLOCKS: Final = (
    N_("first reply"),
    N_("next reply"),
    N_("periodic update"),
    N_("pausable update"),
    N_("requester wait"),
    N_("agent work"),
    N_("total resolution"),
)
FILTERS: Final = (N_("channel"), N_("group"), N_("category"), N_("priority"))
