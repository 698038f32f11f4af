"""Settings of reporting, read once from the environment (`BITACORA_REPORTING_…`)."""

from __future__ import annotations

from pydantic import Field

from libs.runtime.settings import ServiceSettings


class ReportingSettings(ServiceSettings, service="reporting"):
    page: bool = Field(default=True, description="serve the page at /, besides the API")
    page_interval_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="how often an open page looks for new figures",
    )
