"""The operator's view and a ticket's routing in a real browser: figures = API, live, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from libs.events import agent, routing
from libs.events.base import Channel
from libs.events.routing_text import counted_reasons
from services.reporting.page.parts import number, percent
from services.reporting.page.routing_rows import absence_text, hours_text, wait_level
from tests.reporting.house import NOW, feed
from tests.reporting.served import Browser, Served, figure, serving
from tests.reporting.streams import START, Desk, by_time, envelope

pytestmark = pytest.mark.browser
EVENTS = by_time(Desk(9).streams(80, events=6, agents=120))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), EVENTS) as made:
        yield made


def depths(page: Page) -> list[str]:
    return page.locator(".queues tbody .depth").all_inner_texts()


def test_the_figures_on_the_page_are_those_of_the_api(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/routing")
    floor = served.api("/v1/routing")
    expect(figure(page, "waiting")).to_have_text(number(floor["waiting"]))
    expect(figure(page, "online")).to_have_text(number(floor["presences"]["online"]))
    expect(figure(page, "load")).to_have_text(percent(floor["units"] / floor["capacity"]))
    assert depths(page) == [number(queue["waiting"]) for queue in floor["queues"]]
    first = page.locator(".queues tbody tr").first
    oldest = floor["queues"][0]
    expect(first.locator("a")).to_have_text(f"#{oldest['oldest']['number']}")
    expect(first.locator(".why li")).to_have_text(counted_reasons(oldest["reasons"]))
    expect(first.locator(".wait")).to_contain_text("very long")
    names = page.locator(".agents tbody td.strong > span:first-child").all_inner_texts()
    assert names == [found["name"] for found in floor["agents"]]
    expect(page.locator(".decisions tbody tr")).to_have_count(len(floor["decisions"]))
    assert browser.complaints == []


def test_it_is_live_and_the_keyboard_stays_where_it_is(served: Served, browser: Browser) -> None:
    page = browser.page
    page.goto(f"{served.url}/routing")
    waiting = served.api("/v1/routing")["waiting"]
    expect(figure(page, "waiting")).to_have_text(number(waiting))
    link = page.locator(".queues tbody a").first
    link.focus()
    page.evaluate("window.kept = document.activeElement")
    later = START + timedelta(days=40)
    feed(served.store, [[envelope("agent:1", 9, agent.AgentRetired(), later)]])
    feed(served.store, [by_time(Desk(77, start=later).streams(30, events=0, agents=0))])
    now = served.api("/v1/routing")
    assert now["waiting"] > waiting
    expect(figure(page, "waiting")).to_have_text(number(now["waiting"]))
    expect(figure(page, "online")).to_have_text(number(now["presences"]["online"]))
    assert page.evaluate("window.kept === document.activeElement")
    expect(link).to_be_focused()
    assert browser.complaints == []


def test_the_filter_is_in_the_address_and_agents_come_in_pages(
    served: Served, browser: Browser
) -> None:
    page = browser.page
    page.goto(f"{served.url}/routing")
    page.get_by_label("Queue", exact=True).select_option("urgent")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/routing?queue=urgent**")
    expect(page.locator(".queues tbody tr").first).to_have_attribute("data-queue", "urgent")
    found = served.api("/v1/routing", queue="urgent")
    expect(figure(page, "waiting")).to_have_text(number(found["waiting"]))
    agents = sum(found["presences"].values())
    expect(page.locator("#h-agents")).to_contain_text(f"1–50 of {agents}")
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**queue=urgent&page=2**")
    expect(page.locator("#h-agents")).to_contain_text(f"51–100 of {agents}")
    second = served.api("/v1/routing", queue="urgent", page=2)
    ids = [row.get_attribute("data-agent") for row in page.locator(".agents tbody tr").all()]
    assert ids == [found["id"] for found in second["agents"]]
    page.goto(f"{served.url}/routing?presence=asleep&group=billing")
    expect(page.get_by_role("status")).to_contain_text("presence")
    expect(page.get_by_text("No agent matches.")).to_be_visible()
    expect(page.get_by_label("Group", exact=True)).to_have_value("billing")
    assert browser.complaints == []


def test_a_ticket_says_why_it_waits_and_what_was_decided(served: Served, browser: Browser) -> None:
    page = browser.page
    floor = served.api("/v1/routing")
    queue = next(queue for queue in floor["queues"] if queue["reasons"])
    page.goto(f"{served.url}/routing")
    page.get_by_role("link", name=f"Ticket {queue['oldest']['number']},").first.click()
    page.wait_for_url(f"**/tickets/{queue['oldest']['id']}#routing")
    found = served.api(f"/v1/tickets/{queue['oldest']['id']}")
    section = page.locator("#routing")
    expect(section.get_by_text("Why it is still waiting")).to_be_visible()
    reasons = counted_reasons(found["routing"]["reasons"])
    expect(section.locator(".waits li")).to_have_text(reasons)
    told = [e for e in found["history"] if e["stream_id"].startswith("decision:")]
    expect(section.locator("article")).to_have_count(len(told))
    first = section.locator("article").last  # the newest are first
    expect(first.get_by_role("heading")).to_contain_text("Nobody was free: the ticket waits")
    first.get_by_text("What was looked at").click()
    for text in ("the ticket was created", "chat, tier", "version 1", "most spare capacity"):
        expect(first.locator("dl.facts")).to_contain_text(text)
    expect(first.locator("dl.facts li")).to_have_text("3 agents are offline")
    row = first.locator("tbody tr")
    expect(row).to_contain_text("Agent 2")
    expect(row).to_contain_text("is offline; lacks a skill asked for")
    assert browser.complaints == []


def test_landmarks_a_phone_and_dark_colours(served: Served, browser: Browser) -> None:
    page = browser.page
    page.context.add_cookies([{"name": "theme", "value": "dark", "url": served.url}])
    page.set_viewport_size({"width": 375, "height": 740})
    for path in ("/routing", f"/tickets/{EVENTS[0].stream_id}"):
        page.goto(served.url + path)
        expect(page.locator("body.body--dark")).to_have_count(1)
        expect(page.locator(".live b")).to_have_text("Live")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.goto(f"{served.url}/routing")
    for region in ("Queues", "Agents", "Recent decisions"):
        expect(page.get_by_role("region", name=re.compile(f"^{region}"))).to_be_visible()
        expect(page.get_by_role("table", name=region, exact=True)).to_be_visible()
    expect(page.get_by_role("search")).to_have_count(1)
    load = page.locator(".agents .load").first
    expect(load).to_have_accessible_name(f"Load: {load_of(served)} units")
    assert browser.complaints == []


def load_of(served: Served) -> str:
    first = served.api("/v1/routing")["agents"][0]
    return f"{first['units']} of {first['capacity']}"


def test_an_empty_floor_says_how_to_begin(tmp_path: Path, browser: Browser) -> None:
    fact = routing.RoutingRulesChanged(version=4, rules={})
    with serving(tmp_path, []) as served:
        page = browser.page
        page.goto(f"{served.url}/routing")
        expect(page.get_by_role("heading", name="No agents and no waiting")).to_be_visible()
        registered = agent.AgentRegistered(name="Ana", capacity=2, channels=(Channel.CHAT,))
        feed(served.store, [[envelope("agent:ana", 1, registered, START)]])
        feed(served.store, [[envelope("rules", 1, fact, START)]])
        expect(page.locator(".agents tbody tr")).to_have_count(1)
        expect(page.get_by_text("No ticket waits: everything has an agent.")).to_be_visible()
        expect(page.get_by_text("Rules version 4")).to_be_visible()
    assert browser.complaints == []


def test_hours_absences_and_waits_in_words() -> None:
    day: dict[str, Any] = {"start": "09:00", "end": "13:00"}
    week: dict[str, Any] = {"mon": [day], "tue": [day], "thu": [day], "sat": [day, day]}
    text = "Mon–Tue 09:00–13:00, Thu 09:00–13:00, Sat 09:00–13:00 09:00–13:00 (UTC)"
    assert hours_text({"zone": "UTC", "week": week}) == text
    assert (hours_text(None), hours_text({"zone": "UTC", "week": {}})) == ("always", "never (UTC)")
    now_us = int(NOW.timestamp() * 1_000_000)
    hour_us = 3_600_000_000
    running = [[now_us - hour_us, now_us + hour_us], [now_us + 9 * hour_us, now_us + 10 * hour_us]]
    assert absence_text(running, NOW) == "out of office until 2026-06-01 01:00"
    assert absence_text(running[1:], NOW) == "out of office from 2026-06-01 09:00"
    assert absence_text([[now_us - hour_us, now_us]], NOW) == ""
    levels = [wait_level(seconds)[1] for seconds in (0, 899, 900, 3_599, 3_600)]
    assert levels == ["", "", "long", "long", "very long"]
