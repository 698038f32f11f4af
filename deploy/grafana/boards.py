"""The dashboards: which rows they have."""

from __future__ import annotations

from typing import Final

from deploy.grafana.desk_rows import INTAKE, REPORTING, ROUTING, SLA
from deploy.grafana.panels import Dashboard, Row
from deploy.grafana.platform_rows import (
    CONSUMING,
    PARKED,
    PROCESSES,
    PUBLISHING,
    REQUESTS,
    ROUTES,
    STATE,
)

BOARDS: Final = (
    Dashboard(
        "bitacora-overview",
        "Bitácora: overview",
        "Is everything well, and if not, where? One row per concern; the other dashboards go deeper.",
        [
            STATE,
            REQUESTS,
            Row("The log", [*PUBLISHING.panels[:3], *CONSUMING.panels[:3]]),
            Row("The desk", [*ROUTING.panels[:3], *SLA.panels[:3]]),
        ],
    ),
    Dashboard(
        "bitacora-log",
        "Bitácora: the log",
        "Publishing to Kafka, consuming from it, and what was parked.",
        [PUBLISHING, CONSUMING, PARKED],
    ),
    Dashboard(
        "bitacora-desk",
        "Bitácora: the desk",
        "What comes in, who waits and who is there, what is due, and what reporting does.",
        [INTAKE, ROUTING, SLA, REPORTING],
    ),
    Dashboard(
        "bitacora-services",
        "Bitácora: services",
        "Requests by route and status, and the processes themselves.",
        [REQUESTS, ROUTES, PROCESSES],
    ),
)
