"""Settings of reporting, read once from the environment (`BITACORA_REPORTING_…`)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from sqlalchemy import make_url

from libs.runtime.settings import ServiceSettings


class ReportingSettings(ServiceSettings, service="reporting"):
    page: bool = Field(default=True, description="serve the page at /, besides the API")
    page_interval_s: float = Field(
        0.4,
        gt=0,
        le=60,
        description="how often an open page looks for new figures",
    )
    facts_file: str = Field(
        "",
        description="where the fact tables lie, each process its own; empty: in data_dir, beside a"
        " SQLite database; `:memory:` makes them anew at every start",
    )
    facts_memory_mb: int = Field(
        2048, ge=256, description="what DuckDB may use for the fact tables and for queries"
    )

    calendar: str = Field(
        "business",
        min_length=1,
        description="the calendar of the SLA service that business time in figures is counted by",
    )

    def facts_place(self) -> str:
        """The file of the fact tables, or `:memory:`."""
        if self.facts_file:
            return self.facts_file
        url = make_url(self.database_url)
        if url.get_backend_name() == "sqlite" and url.database:
            return str(Path(url.database).with_suffix(".facts"))
        return str(self.data_dir / "reporting.facts")
