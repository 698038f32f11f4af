"""Settings of the SLA service."""

from __future__ import annotations

from pydantic import Field

from libs.runtime.settings import ServiceSettings


class SlaSettings(ServiceSettings, service="sla"):
    """`BITACORA_SLA_…`."""

    publish_imported_edges: bool = Field(
        default=False,
        description="publish starts, pauses and resumptions of imported clocks too, not only verdicts",
    )
