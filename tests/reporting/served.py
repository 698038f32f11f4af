"""A reporting service in a process of its own, and what a browser says about its pages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

from libs.runtime.clock import monotonic_s
from libs.runtime.store import ServiceStore
from tests.reporting.house import feed, open_store

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


@dataclass
class Served:
    """A running reporting service and the database under it."""

    url: str
    store: ServiceStore

    def api(self, path: str, **parameters: Any) -> Any:
        return httpx.get(self.url + path, params=parameters).raise_for_status().json()


@dataclass
class Browser:
    page: Page
    complaints: list[str] = field(default_factory=list)


@contextmanager
def serving(directory: Path, events: list[Any]) -> Iterator[Served]:
    address = f"sqlite:///{directory}/reporting.sqlite3"
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BITACORA_REPORTING_DATABASE_URL": address,
        "BITACORA_REPORTING_HTTP_PORT": str(port),
        "BITACORA_REPORTING_PAGE_INTERVAL_S": "0.2",
        "BITACORA_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "BITACORA_DATA_DIR": str(directory),
    }
    with open_store(address) as store, (directory / "log").open("wb") as log:
        if events:
            feed(store, [events])
        process = subprocess.Popen(
            [sys.executable, "-m", "services.reporting"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url + "/health/live")
            yield Served(url, store)
        finally:
            process.terminate()
            process.wait(20)


def wait_for(url: str) -> None:
    deadline_s = monotonic_s() + 90
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            assert monotonic_s() < deadline_s, f"{url} does not answer"
        else:
            return


def note_foreign(browser: Browser, url: str) -> None:
    if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
        browser.complaints.append(f"loaded from outside: {url}")


def figure(page: Page, name: str) -> Any:
    return page.locator(f'[data-figure="{name}"] .value')
