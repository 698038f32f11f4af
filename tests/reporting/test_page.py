"""The page in a real browser, served by the real process: figures = API, live, nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from services.reporting.page.parts import duration, number
from tests.reporting.house import feed
from tests.reporting.served import Browser, Served, figure, serving
from tests.reporting.streams import Desk, by_time

pytestmark = pytest.mark.browser
STREAMS = Desk(3).streams(120, events=8)
EVENTS = by_time(STREAMS)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), EVENTS[:-40]) as made:
        yield made


def test_the_figures_on_the_page_are_those_of_the_api(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all")
    counters = served.api("/v1/counters", range="all")
    durations = {d["name"]: d for d in counters["durations"]}
    expect(figure(page, "open")).to_have_text(number(counters["open"]))
    for name in ("created", "solved", "reopened", "handed_over"):
        expect(figure(page, name)).to_have_text(number(counters["sums"][name]))
    expect(figure(page, "first_reply")).to_have_text(duration(durations["first_reply"]["p50_s"]))
    expect(figure(page, "resolution")).to_have_text(duration(durations["resolution"]["p50_s"]))
    for status, count in counters["backlog"].items():
        expect(page.locator(f'[data-status="{status}"] b')).to_have_text(number(count))
    page.get_by_text("The charts as a table").click()
    expect(page.locator(".astable tbody tr")).to_have_count(len(counters["flow"]))
    assert browser.complaints == []


def test_the_list_is_that_of_the_api(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/tickets")
    listed = served.api("/v1/tickets", limit=25)["tickets"]
    expect(page.locator("td.key a")).to_have_text([f"#{t['number']}" for t in listed])
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**cursor=**")
    expect(page.locator("td.key a").first).not_to_have_text(f"#{listed[0]['number']}")
    assert browser.complaints == []


def test_new_events_show_without_a_reload(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=all")
    expect(page.locator(".asof")).to_contain_text("events")
    page.evaluate("window.kept = true")
    feed(served.store, [EVENTS[-40:]])
    expect(page.locator(".asof")).to_contain_text(f"{number(len(EVENTS))} events")
    assert page.evaluate("window.kept") is True
    counters = served.api("/v1/counters", range="all")
    expect(figure(page, "created")).to_have_text(number(counters["sums"]["created"]))
    assert browser.complaints == []


def test_the_filter_is_in_the_address_and_leads_to_a_ticket_with_its_history(
    served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}/tickets")
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
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"#{history['number']}")
    assert browser.complaints == []


def test_landmarks_keyboard_colours_and_a_phone(served: Served, browser: Browser) -> None:
    page = browser.page
    page.set_viewport_size({"width": 375, "height": 740})
    page.goto(f"{served.url}/")
    expect(figure(page, "open")).to_be_visible()
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("document.documentElement.lang") == "en-US"
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    button = page.get_by_role("button", name="Colours")
    for theme in ("light", "dark"):
        button.press("Enter")
        expect(button).to_have_accessible_name(f"Colours: {theme}. Press to change.")
    expect(page.locator("body.body--dark")).to_have_count(1)
    page.wait_for_function("document.cookie.includes('theme=dark')")
    page.reload()
    expect(page.locator("body.body--dark")).to_have_count(1)
    assert browser.complaints == []


def test_a_filter_that_makes_no_sense_is_named(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/?range=eternity&zoom=9")
    expect(page.get_by_role("status")).to_contain_text("eternity")
    expect(page.get_by_role("status")).to_contain_text("zoom")
    expect(figure(page, "open")).to_be_visible()
    page.goto(f"{served.url}/tickets?status=nonsense&priority=high")
    expect(page.get_by_role("status")).to_contain_text("status")
    expect(page.get_by_label("Priority")).to_have_value("high")
    assert browser.complaints == []


def test_an_empty_desk_says_how_to_begin(tmp_path: Path, browser: Browser) -> None:
    with serving(tmp_path, []) as served:
        browser.page.goto(served.url)
        expect(browser.page.get_by_role("heading", name="No tickets yet")).to_be_visible()
        expect(figure(browser.page, "open")).to_be_hidden()
        feed(served.store, [EVENTS])
        expect(figure(browser.page, "open")).to_be_visible()
    assert browser.complaints == []
