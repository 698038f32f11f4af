"""The metrics of reporting alone: what reading its figures costs, and who looks at them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from libs.runtime.metrics import MetricSet


class ReportingMetrics(MetricSet):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.facts_ready = self.gauge(
            "bitacora_reporting_facts_ready",
            "1 when this process has fact tables to answer from, 0 while they are being made: reports "
            "answer 503 then.",
        )
        self.facts_lag_revisions = self.gauge(
            "bitacora_reporting_facts_lag_revisions",
            "Transactions of the database that the fact tables of this process do not hold yet.",
        )
        self.facts_behind_seconds = self.gauge(
            "bitacora_reporting_facts_behind_seconds",
            "Real seconds for which something has been in the database and not in the fact tables of "
            "this process. Above some seconds: see facts in the log, the disk and DuckDB's memory.",
        )
        self.query_seconds = self.histogram(
            "bitacora_reporting_query_seconds",
            "Time to compute a report that was not known since the last change of the facts.",
        )
        self.open_pages = self.gauge(
            "bitacora_reporting_open_pages",
            "Pages of the desk that are open in a browser and connected to this process.",
        )
