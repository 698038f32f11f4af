"""The metrics of reporting alone: what reading its figures costs, and who looks at them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from libs.runtime.metrics import MetricSet


class ReportingMetrics(MetricSet):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.open_pages = self.gauge(
            "bitacora_reporting_open_pages",
            "Pages of the desk that are open in a browser and connected to this process.",
        )
