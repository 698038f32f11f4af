"""The gauge of open pages, with a real browser."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.desk import until
from tests.reporting.served import Browser, Served, serving


def gauge(served: Served, name: str) -> float:
    page = httpx.get(f"{served.url}/metrics").text
    return next(f.samples[0].value for f in text_string_to_metric_families(page) if f.name == name)


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_pages_are_counted_while_they_are_open(tmp_path: Path, browser: Browser) -> None:
    with serving(tmp_path, []) as served:
        assert gauge(served, "bitacora_reporting_open_pages") == 0
        browser.page.goto(served.url)
        until(lambda: gauge(served, "bitacora_reporting_open_pages") == 1, "the page is counted")
        browser.page.goto("about:blank")
        until(lambda: gauge(served, "bitacora_reporting_open_pages") == 0, "it is counted no more")
        until(lambda: gauge(served, "bitacora_reporting_facts_ready") == 1, "there are facts")
        assert gauge(served, "bitacora_ready") == 0  # there is no Kafka
