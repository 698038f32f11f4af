"""A browser for the tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from tests.reporting.served import FLAGS, Browser, note_foreign


@pytest.fixture
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = started.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(20_000)
        made = Browser(page)
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        page.on("console", lambda m: made.complaints.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: note_foreign(made, request.url))
        yield made
        started.close()
