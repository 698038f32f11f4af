"""How fresh an open page is: from the commit of an event in intake until a browser shows it.

Tickets are created at a steady rate. The n-th of them is committed when the n-th answer (201) comes, and
visible when the overview that is open in Chromium first shows that n or more were created: an observer
in the page notes each change of that figure. Beside it, at the same time: an API client that asks
reporting every few milliseconds how many events it has applied.

The page is reporting's own, with the settings that it has when nobody sets any.
"""

from __future__ import annotations

import asyncio
import bisect
import shutil
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx

from bench.harness import How, Missing, Result, now_s, percentile, running, until, workspace
from bench.http_load import CREATED
from bench.wire import Pool, pool
from cli.system import Options
from libs.events.topics import TICKETS_EVENTS

NAME: Final = "freshness"
WHAT: Final = "p99 from an event's commit in intake to its sight on an open page, at 200 events/s"
PER_SECOND: Final = 200
SECONDS: Final = 60.0
QUICK_SECONDS: Final = 5.0
WARM_UP_S: Final = 5.0
GOAL_MS: Final = 1_000.0
POLL_S: Final = 0.01
SEEN_WITHIN_S: Final = 60.0
CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
PAGE: Final = "/?range=all"
FIGURE: Final = '[data-figure="created"] .value'
WATCH: Final = """(selector) => {
  window.sights = [];
  let last = -1;
  const look = () => {
    const found = document.querySelector(selector);
    const shown = found ? parseInt(found.textContent.replace(/\\D/g, '') || '0') : 0;
    if (shown !== last) {
      last = shown;
      window.sights.push([(performance.timeOrigin + performance.now()) / 1000, shown]);
    }
  };
  new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true});
  look();
}"""
"""Notes (seconds since 1970, tickets shown) whenever the figure has changed."""

Sights = list[tuple[float, int]]


async def run(how: How) -> Result:
    """Raises Missing without Playwright or Chromium."""
    chromium = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        raise Missing("Playwright: pip install 'bitacora[test]'") from None
    if chromium is None:
        raise Missing(f"a Chromium on the PATH ({', '.join(CHROMIUMS)})")
    seconds, warm_s = (QUICK_SECONDS, 1.0) if how.quick else (SECONDS, WARM_UP_S)
    with workspace() as directory:
        async with (
            running(Options(data_dir=directory / "data"), how.tell) as system,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            try:
                # An empty desk has a page without figures.
                committed, applied = await _load(system.state.urls, 1)
                page = await browser.new_page()
                page.set_default_timeout(SEEN_WITHIN_S * 1e3)
                await page.goto(system.state.urls["reporting"] + PAGE)
                await page.locator(FIGURE).first.wait_for()
                await page.evaluate(WATCH, FIGURE)
                total = round(PER_SECOND * (warm_s + seconds))
                more, applied = await _load(system.state.urls, total, before=1)
                committed += more

                async def all_seen() -> bool:
                    return bool(await page.evaluate(f"sights.at(-1)[1] >= {len(committed)}"))

                await until(all_seen, within_s=SEEN_WITHIN_S, every_s=0.1, what="the last sight")
                sights = [(at, shown) for at, shown in await page.evaluate("sights")]
            finally:
                await browser.close()
    first = 1 + round(PER_SECOND * warm_s)
    ours = _waits_ms(committed, sights)[first:]
    api = _waits_ms(committed, applied)[first:]
    return Result(
        NAME,
        WHAT,
        ours=percentile(ours, 99),
        unit="ms",
        limit=percentile(api, 99),
        peers={"a client that polls the API": percentile(api, 99)},
        ratio=percentile(ours, 99) / percentile(api, 99),
        ratio_to="a client that polls the API",
        goal=GOAL_MS,
        better="lower",
        notes=[_note("page", ours), _note("API", api)],
        details={
            "per_second": PER_SECOND,
            "events": len(ours),
            "page": _figures(ours),
            "api": _figures(api),
            "changes_of_the_page": len(sights),
        },
    )


def _figures(waits_ms: Sequence[float]) -> dict[str, float]:
    figures = {f"p{percent}_ms": percentile(waits_ms, percent) for percent in (50, 90, 99)}
    return figures | {"max_ms": max(waits_ms)}


def _note(title: str, waits_ms: Sequence[float]) -> str:
    found = _figures(waits_ms)
    return f"{title}: p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms"


def _waits_ms(committed: Sequence[float], sights: Sights) -> list[float]:
    """For the n-th event: milliseconds until n or more were first shown. All must have been shown."""
    shown = [count for _, count in sights]
    return [
        (sights[bisect.bisect_left(shown, number)][0] - at_s) * 1e3
        for number, at_s in enumerate(committed, 1)
    ]


async def _load(urls: dict[str, str], total: int, *, before: int = 0) -> tuple[list[float], Sights]:
    """When each ticket was committed (seconds since 1970, in order), and what the API said when.
    `before`: as many were created before."""
    committed: list[float] = []
    applied: Sights = []
    port = int(urls["intake"].rpartition(":")[2])

    async def send(http: Pool, number: int) -> None:
        body = b'{"subject":"Ticket %d","requester":{"id":"r-%d"}}' % (number, number % 97)
        status, answer = await http.post(body)
        if status != CREATED:
            raise RuntimeError(f"intake answered {status}: {answer[:300]!r}")
        committed.append(time.time())

    async def generate() -> None:
        begun_s = now_s()
        async with pool(port) as http, asyncio.TaskGroup() as group:
            for number in range(total):
                await asyncio.sleep(begun_s + number / PER_SECOND - now_s())
                group.create_task(send(http, number))

    async def poll() -> None:
        async with httpx.AsyncClient(base_url=urls["reporting"], timeout=30) as http:
            while not applied or applied[-1][1] < before + total:
                answer: Any = (await http.get("/v1/positions")).raise_for_status().json()
                events = {one["topic"]: one["events"] for one in answer["positions"]}
                count = events.get(TICKETS_EVENTS, 0)
                if not applied or count > applied[-1][1]:
                    applied.append((time.time(), count))
                await asyncio.sleep(POLL_S)

    async with asyncio.timeout(total / PER_SECOND + SEEN_WITHIN_S), asyncio.TaskGroup() as group:
        group.create_task(generate())
        group.create_task(poll())
    return sorted(committed), applied
