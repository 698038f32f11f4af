"""The pages in a real browser, served by the real process: figures = API, live, nothing from outside."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from libs.events import ticket as t
from libs.events.base import Status
from services.reporting.page import agents, channels, incidents, overview, satisfaction, sla, team
from services.reporting.page.parts import number
from services.reporting.page.say import aggregate_of
from services.reporting.page.say import figure as shown
from services.reporting.page.tiles import Tile
from tests.reporting.house import feed
from tests.reporting.served import Browser, Served, figure, serving
from tests.reporting.streams import Desk, Stream, by_time, envelope

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PAGES: dict[str, tuple[Tile, ...]] = {
    "/": overview.KEY_FIGURES,
    "/team": team.KEY_FIGURES,
    "/agents": agents.KEY_FIGURES,
    "/channels": channels.KEY_FIGURES,
    "/sla": sla.KEY_FIGURES,
    "/satisfaction": satisfaction.KEY_FIGURES,
    "/incidents": incidents.KEY_FIGURES,
}


def rated(streams: list[Stream]) -> Iterator[Stream]:
    """The same; every other solved ticket is rated in the end, some of them badly."""
    solved = 0
    for stream in streams:
        last = stream[-1].event
        if isinstance(last, t.StatusChanged) and last.status in (Status.SOLVED, Status.CLOSED):
            solved += 1
            if solved % 2:
                event = t.SatisfactionRated(
                    rating="bad" if solved % 3 == 0 else "good", requester_id="r1"
                )
                time = stream[-1].time + timedelta(minutes=5)
                yield [*stream, envelope(stream[0].stream_id, len(stream) + 1, event, time)]
                continue
        yield stream


STREAMS = list(rated(Desk(3).streams(120, events=8)))
EVENTS = by_time(STREAMS)
LONGEST = max((s for s in STREAMS if isinstance(s[0].event, t.TicketCreated)), key=len)
OTHERS = ("/tickets", "/routing", "/facts?metrics=created", f"/tickets/{LONGEST[0].stream_id}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), EVENTS[:-40]) as made:
        yield made


def live(page: Page) -> None:
    """Wait until the page is connected and has its figures."""
    expect(page.locator(".live .asof")).to_contain_text(re.compile(r"\d"))


def of_api(served: Served, tile: Tile, **parameters: Any) -> dict[str, Any]:
    aggregate = aggregate_of(tile.metric, tile.aggregate)
    report = served.api("/v1/report", metrics=tile.metric, aggregates=aggregate, **parameters)
    (row,) = report["rows"]
    (cell,) = row["cells"]
    assert cell["aggregate"] == aggregate
    return {**cell, "shown": shown(tile.metric, aggregate, cell["value"])}


@pytest.mark.parametrize("path", PAGES)
def test_the_figures_on_the_page_are_those_of_the_api(
    path: str, served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}{path}?range=all")
    live(page)
    for tile in PAGES[path]:
        expect(figure(page, tile.metric)).to_have_text(of_api(served, tile)["shown"])
    assert browser.complaints == []


def test_charts_and_tables_are_those_of_the_api(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all")
    by_status = served.api("/v1/report", metrics="backlog", by="status")["rows"]
    for row in by_status:
        cell = page.locator(f'#status tr[data-key="{row["keys"]["status"]}"] td a')
        expect(cell).to_have_text(number(row["cells"][0]["value"]))
    flow = page.locator("#flow")
    expect(flow.locator("svg path").first).to_be_visible()
    flow.get_by_text("As a table").click()
    report = served.api("/v1/report", metrics="created", granularity="day")
    counts = [number(row["cells"][0]["value"]) for row in reversed(report["rows"])]
    expect(flow.locator("tbody td:nth-child(2)")).to_have_text(counts)
    page.goto(f"{served.url}/channels?range=all")
    heat = page.locator("#heat")
    heat.get_by_text("As a table").click()
    whole = sum(int(text) for text in heat.locator("tbody td").all_inner_texts())
    assert whole == of_api(served, Tile("created"))["value"]
    assert browser.complaints == []


@pytest.mark.parametrize("metric", ["created", "backlog", "sla_attainment", "first_reply_time"])
def test_a_figure_leads_to_as_many_tickets_as_it_says(
    metric: str, served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all&channel=email")
    cell = of_api(served, Tile(metric), channel="email")
    figure(page, metric).get_by_role("link").click()
    page.wait_for_url("**/facts?**")
    facts = "fact" if cell["facts"] == 1 else "facts"
    expect(page.locator("#h-facts")).to_contain_text(f"{number(cell['facts'])} {facts}")
    listed = page.locator(".tickets tbody tr")
    expect(listed).to_have_count(min(cell["facts"], 50))
    expect(page.locator("dl.facts")).to_contain_text("email")
    page.locator(".tickets tbody th a").first.click()
    page.wait_for_url("**/tickets/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text("#")
    assert browser.complaints == []


def test_a_figure_of_a_group_and_of_a_day_leads_to_its_tickets(
    served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}/team?range=all")
    link = page.locator('#groups tr[data-key="billing"] td').nth(1).get_by_role("link")
    count = link.inner_text()
    link.click()
    page.wait_for_url("**/facts?**group=billing**")
    expect(page.locator("#h-facts")).to_contain_text(f"{count} fact")
    page.goto(f"{served.url}/?range=all")
    page.locator("#flow").get_by_text("As a table").click()
    link = page.locator("#flow tbody td:nth-child(2) a").first
    count = link.inner_text()
    link.click()
    page.wait_for_url("**/facts?**")
    expect(page.locator("#h-facts")).to_contain_text(f"{count} fact")
    page.goto(f"{served.url}/facts?metrics=nonsense")
    expect(page.get_by_role("status")).to_contain_text("nonsense")
    assert browser.complaints == []


def test_new_events_show_without_a_reload(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all")
    live(page)
    before = of_api(served, Tile("solved"))["value"]
    said = page.locator(".asof").inner_text()
    page.evaluate("window.kept = true")
    feed(served.store, [EVENTS[-40:]])
    page.wait_for_function(
        "before => !document.querySelector('.asof').textContent.includes(before)", arg=said
    )
    assert page.evaluate("window.kept") is True
    for tile in (Tile("solved"), Tile("backlog")):
        expect(figure(page, tile.metric)).to_have_text(of_api(served, tile)["shown"])
    assert of_api(served, Tile("solved"))["value"] > before
    assert browser.complaints == []


def test_filters_are_in_the_address_and_the_way_back_works(
    served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all")
    whole = of_api(served, Tile("created"))["shown"]
    expect(figure(page, "created")).to_have_text(whole)
    page.get_by_text("Filters and dates").click()
    page.get_by_label("Channel", exact=True).select_option("chat")
    page.get_by_label("Time zone").fill("Europe/Madrid")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**channel=chat**")
    chats = of_api(served, Tile("created"), channel="chat")["shown"]
    expect(figure(page, "created")).to_have_text(chats)
    expect(page.get_by_text("Times are in Europe/Madrid")).to_be_visible()
    page.get_by_role("link", name="SLA", exact=True).click()
    page.wait_for_url("**/sla?**channel=chat**")
    kept = of_api(served, Tile("sla_kept"), channel="chat")["shown"]
    expect(figure(page, "sla_kept")).to_have_text(kept)
    page.go_back()
    expect(figure(page, "created")).to_have_text(chats)
    page.get_by_role("link", name="Take out: Channel: chat").click()
    expect(figure(page, "created")).to_have_text(whole)
    page.get_by_role("link", name="Business time").click()
    page.wait_for_url("**time=business**")
    expect(page.locator("#replies h2")).to_contain_text("business time")
    assert browser.complaints == []


def test_a_free_period_is_compared_with_the_one_before(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/?from=2026-03-09&to=2026-03-15")
    page.get_by_role("switch", name="Compare").click()
    page.wait_for_url("**compare=1**")
    period = {"from": "2026-03-09", "to": "2026-03-16", "compare": "previous"}
    cell = of_api(served, Tile("created"), **period)
    expect(figure(page, "created")).to_have_text(cell["shown"])
    moved = page.locator('.tile:has([data-figure="created"]) .change')
    expect(moved).to_have_attribute("title", f"before: {number(cell['previous'])}")
    assert browser.complaints == []


def test_what_makes_no_sense_in_the_address_is_named(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(
        f"{served.url}/?range=eternity&zoom=9&zone=Mars/Phobos&channel=pigeon&priority=high"
        "&from=2026-03-20&to=2026-03-01"
    )
    notice = page.get_by_role("status")
    for wrong in ("eternity", "zoom", "Mars/Phobos", "pigeon", "ends before it begins"):
        expect(notice).to_contain_text(wrong)
    expect(page.get_by_role("link", name="Take out: Priority: high")).to_be_visible()
    page.goto(f"{served.url}/tickets?status=nonsense&priority=high&cursor=zz")
    expect(page.get_by_role("status")).to_contain_text("cursor, status")
    expect(page.get_by_label("Priority")).to_have_value("high")
    page.goto(f"{served.url}/?range=all&category=<script>alert(1)</script>&group=%00x")
    expect(page.get_by_role("link", name="Take out: Category: <script>")).to_be_visible()
    assert browser.complaints == []


def test_the_list_is_that_of_the_api_and_leads_to_a_history(
    served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}/tickets")
    listed = served.api("/v1/tickets", limit=25)["tickets"]
    expect(page.locator("td.key a")).to_have_text([f"#{ticket['number']}" for ticket in listed])
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**cursor=**")
    expect(page.locator("td.key a").first).not_to_have_text(f"#{listed[0]['number']}")
    page.get_by_label("Status", exact=True).select_option("solved")
    page.get_by_label("Search").fill("printer")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**status=solved**")
    found = served.api("/v1/tickets", status="solved", q="printer", limit=25)["tickets"]
    expect(page.locator("td.key")).to_have_count(len(found))
    # The subject is text, never markup.
    expect(page.locator("td.wide").first).to_have_text("Printer <b>on fire</b>")
    page.locator("td.key a").first.click()
    page.wait_for_url(f"**/tickets/{found[0]['id']}")
    history = served.api(f"/v1/tickets/{found[0]['id']}")
    refused = len(history["rejections"])
    expect(page.locator("ol.log > li")).to_have_count(len(history["history"]) + refused)
    assert browser.complaints == []


def test_charts_are_saved_as_images_and_as_data(
    served: Served, browser: Browser, tmp_path: Path
) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all")
    expect(page.locator("#flow svg path").first).to_be_visible()
    start = {"SVG": b"<svg", "PNG": b"\x89PNG"}
    for kind, first in start.items():
        page.locator("#flow .saving summary").click()
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Image ({kind})").click()
        file = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(file)
        assert file.name == f"created-and-solved.{kind.lower()}"
        assert file.read_bytes().startswith(first)
        page.keyboard.press("Escape")
    assert "Created and solved" in (tmp_path / "created-and-solved.svg").read_text("utf-8")
    page.locator("#flow .saving summary").click()
    href = page.locator("#flow").get_by_role("link", name="CSV").get_attribute("href")
    lines = list(csv.DictReader(io.StringIO(httpx.get(f"{served.url}{href}").text)))
    report = served.api("/v1/report", metrics="created", granularity="day")
    assert [int(line["created"]) for line in lines] == [
        row["cells"][0]["value"] for row in report["rows"]
    ]
    assert browser.complaints == []


def test_landmarks_keyboard_and_colours(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/")
    live(page)
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    current = page.get_by_role("navigation", name="Main").locator("[aria-current=page]")
    expect(current).to_have_text("Overview")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    box = page.locator(".filterbox summary")
    box.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("search")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("search")).to_be_hidden()
    expect(box).to_be_focused()
    button = page.get_by_role("button", name="Colours")
    for theme in ("light", "dark"):
        button.press("Enter")
        expect(button).to_have_accessible_name(f"Colours: {theme}. Press to change.")
    expect(page.locator("body.body--dark")).to_have_count(1)
    page.wait_for_function("document.cookie.includes('theme=dark')")
    page.reload()
    expect(page.locator("body.body--dark")).to_have_count(1)
    assert browser.complaints == []


def test_the_language_is_chosen_and_kept(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/sla?range=all")
    assert page.evaluate("document.documentElement.lang") == "en-US"
    page.get_by_role("link", name="Русский").click()
    page.wait_for_url("**lang=ru**")
    assert page.evaluate("document.documentElement.lang") == "ru"
    expect(page.locator("#attainment h2")).to_contain_text("Выполнение SLA")
    page.wait_for_function("document.cookie.includes('lang=ru')")
    page.goto(f"{served.url}/satisfaction?range=all")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Удовлетворённость")
    share = of_api(served, Tile("satisfaction"))["shown"].replace(".", ",")
    expect(figure(page, "satisfaction")).to_have_text(share)
    page.get_by_role("link", name="Español").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Satisfacción")
    assert page.evaluate("document.documentElement.lang") == "es"
    assert browser.complaints == []


@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_a_phone_shows_all_of_it(path: str, served: Served, browser: Browser) -> None:
    page = browser.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(served.url + path)
    live(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert browser.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_nothing_that_axe_finds_keeps_anybody_out(
    path: str, theme: str, served: Served, browser: Browser
) -> None:
    page = browser.page
    page.context.add_cookies([{"name": "theme", "value": theme, "url": served.url}])
    sign = "&" if "?" in path else "?"
    page.goto(f"{served.url}{path}{sign}range=all" if path in PAGES else served.url + path)
    live(page)
    for summary in page.locator("details.astable > summary").all():
        summary.click()
    found = Axe().run(page).response["violations"]
    told = [(v["id"], v["impact"], [node["html"][:200] for node in v["nodes"][:3]]) for v in found]
    assert told == []


def test_an_empty_desk_says_how_to_begin(tmp_path: Path, browser: Browser) -> None:
    with serving(tmp_path, []) as served:
        page = browser.page
        for path in ("/", "/sla", "/tickets"):
            page.goto(served.url + path)
            expect(page.get_by_role("heading", name="No tickets yet")).to_be_visible()
        page.goto(served.url)
        expect(figure(page, "created")).to_be_hidden()
        feed(served.store, [EVENTS])
        expect(figure(page, "created")).to_be_visible()
    assert browser.complaints == []
