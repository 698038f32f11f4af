"""What the pages ask and how they draw the answers, on hand-made reports."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pytest

from services.reporting.domain import microseconds
from services.reporting.domain.metrics import METRICS
from services.reporting.page import charts
from services.reporting.page.asking import Answer, Ask
from services.reporting.page.behind import as_csv, tickets_behind
from services.reporting.page.charts import Series
from services.reporting.page.i18n import Reader, reading
from services.reporting.page.say import bucket, bucket_long, change, figure, key, span
from services.reporting.page.tickets import asked
from services.reporting.page.tiles import line
from services.reporting.page.view import Period, View, period_of, view_of
from services.reporting.report.ask import question_of
from services.reporting.report.model import Cell, Report, ReportQuery, Row

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START = microseconds(datetime(2026, 3, 1, tzinfo=UTC))
END = START + 3 * DAY_US
WEEK = Period(START, START + 7 * DAY_US, "day")


def at(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def report(query: ReportQuery, *rows: Row) -> Report:
    return Report(query, START, END, rows, 7, END)


# ---- the address --------------------------------------------------------------------------------


def test_a_view_is_what_the_address_says_and_gives_the_address_back() -> None:
    given = {"range": "7d", "channel": "chat", "group": "a b", "zone": "Asia/Tokyo", "compare": "1"}
    view = view_of(given)
    assert view == View(
        "7d", None, None, "Asia/Tokyo", (("channel", "chat"), ("group", "a b")), True
    )
    assert view_of(dict(parse_qsl(urlsplit(view.address("/sla")).query))) == view
    assert view.address("/", range="", channel="") == "/?zone=Asia%2FTokyo&compare=1&group=a+b"
    free = view_of({"from": "2026-03-01", "to": "2026-03-02", "time": "business"})
    assert (free.range, free.first, free.time) == ("", date(2026, 3, 1), "business")
    assert view_of({}) == View() == view_of({"lang": "es", "group": "  "})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"range": "7 days"}, "range"),
        ({"from": "yesterday"}, "yesterday"),
        ({"to": "0001-01-01"}, "0001-01-01"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "ends before"),
        ({"zone": "../etc/passwd"}, "passwd"),
        ({"zone": "Mars/Phobos"}, "Mars"),
        ({"zone": "localtime"}, "localtime"),
        ({"zone": "posix/Europe/Madrid"}, "posix"),
        ({"priority": "urgent"}, "priority"),
        ({"category": "x" * 201}, "category"),
        ({"group": "a\0b"}, "group"),
        ({"compare": "yes"}, "compare"),
        ({"time": "lunch"}, "time"),
        ({"grup": "a"}, "grup"),
    ],
)
def test_what_makes_no_sense_is_named_and_left_out(given: dict[str, str], named: str) -> None:
    view = view_of({**given, "channel": "chat"})
    assert named in " ".join(view.problems)
    assert view == View(filters=(("channel", "chat"),))


@pytest.mark.parametrize("cursor", ["zz", "é", "MTox" * 200, "MQ"])
def test_a_cursor_that_no_list_gave_is_named_and_left_out(cursor: str) -> None:
    wanted = asked({"cursor": cursor, "priority": "high"})
    assert "cursor" in wanted.problem
    assert wanted.filters == {"priority": "high"}
    assert wanted.query.cursor is None


@pytest.mark.parametrize(
    ("view", "start", "end", "granularity"),
    [
        (View("24h"), "2026-03-10T12:00", "2026-03-11T12:00", "hour"),
        (View("7d"), "2026-03-05T00:00", "2026-03-11T12:00", "day"),
        (View("7d", zone="Asia/Tokyo"), "2026-03-04T15:00", "2026-03-11T12:00", "day"),
        (View("90d"), "2025-12-12T00:00", "2026-03-11T12:00", "day"),
        (View("12m"), "2025-03-17T00:00", "2026-03-11T12:00", "week"),
        (View("all"), None, "2026-03-11T12:00", "month"),
        (
            View("", date(2026, 3, 1), date(2026, 3, 1)),
            "2026-03-01T00:00",
            "2026-03-02T00:00",
            "hour",
        ),
        (View("", None, date(2026, 3, 1)), None, "2026-03-02T00:00", "month"),
        (View("", date(2027, 1, 1), None), "2027-01-01T00:00", "2027-01-01T01:00", "hour"),
    ],
)
def test_a_period_ends_with_the_hour_of_the_latest_fact(
    view: View, start: str | None, end: str, granularity: str
) -> None:
    period = period_of(view, first_us=at("2024-01-01T09:00"), last_us=at("2026-03-11T11:20"))
    assert period.start_us == (None if start is None else at(start))
    assert (period.end_us, period.granularity) == (at(end), granularity)


def test_only_what_there_are_facts_of_is_compared() -> None:
    latest = at("2026-03-11T11:20")
    assert period_of(View("7d"), first_us=at("2026-02-26T20:00"), last_us=latest).comparable
    assert not period_of(View("7d"), first_us=at("2026-03-02T09:00"), last_us=latest).comparable
    assert not period_of(View("all"), first_us=at("2020-03-02T09:00"), last_us=latest).comparable


# ---- questions and answers ----------------------------------------------------------------------


def test_a_filter_that_a_metric_does_not_have_is_left_out_and_named() -> None:
    view = View("7d", filters=(("group", "a"), ("priority", "high")), compare=True)
    ask = Ask(("utilization", "solved"))
    questions = ask.questions(view, WEEK)
    assert {q.metrics: q.filters for q in questions} == {
        ("utilization",): (("group", ("a",)),),
        ("solved",): (("group", ("a",)), ("priority", ("high",))),
    }
    assert all(question.compare for question in questions)
    assert ask.left_out(view) == ["priority"]
    only = Ask(("satisfaction",), only=(("priority", ("low", "medium")),))
    (question,) = only.questions(view, Period(None, END, "day", comparable=False))
    assert question.filters == (("group", ("a",)), ("priority", ("low", "medium")))
    assert (question.compare, question.granularity, only.left_out(view)) == (
        False,
        "none",
        ["priority"],
    )


def test_an_answer_finds_its_figures_and_the_facts_behind_them() -> None:
    query = ReportQuery(
        ("created",), START, END, "UTC", "day", ("channel",), (("group", ("a,b",)),)
    )
    rows = [
        Row(START + day * DAY_US, (key_,), (Cell("created", "count", day, day),))
        for day in range(3)
        for key_ in ("chat", None)
    ]
    answer = Answer([report(query, *rows)])
    assert answer.keys == [("chat",), (None,)]
    last = START + 2 * DAY_US
    assert (answer.period(), answer.period(last)) == ((START, END), (last, END))
    cell = answer.cell("created", "count", (None,), last)
    view = View(zone="UTC", time="business")
    link = tickets_behind(answer, cell, view, (None,), last)
    behind = question_of(parse_qsl(urlsplit(link).query, keep_blank_values=True)).query(END)
    assert behind.filters == (("channel", ("",)), ("group", ("a,b",)))
    assert (behind.metrics, behind.start_us, behind.end_us) == (("created",), last, END)
    assert behind.time == "business"
    assert tickets_behind(answer, answer.cell("created", "count", ("chat",), START), view) == ""
    address = urlsplit(as_csv(query))
    asked = question_of(parse_qsl(address.query), more=("format",)).query(END)
    assert (address.path, asked) == ("/v1/report", query)


# ---- words --------------------------------------------------------------------------------------


def test_figures_and_changes_in_words() -> None:
    assert figure("created", "count", 12345) == "12,345"
    assert figure("first_reply_time", "p50", 5400) == "90\u00a0min"
    assert figure("satisfaction", "share", 0.5) == "50.0\u00a0%"
    assert figure("replies_per_ticket", "mean", 1.25) == "1.2"
    assert figure("backlog", "count", None) == "–"
    moved = [
        change(Cell("backlog", "count", 30, 1, 20)),
        change(Cell("satisfaction", "share", 0.9, 1, 0.85)),
        change(Cell("created", "count", 5, 1, 10)),
        change(Cell("solved", "count", 5, 1, 0)),
        change(Cell("solved", "count", 50, 1, 2)),
        change(Cell("solved", "count", 5, 1, 5)),
    ]
    assert [(m.sign, m.text.replace("\u00a0", " "), m.mood) for m in moved if m] == [
        ("▲", "50.0 %", "bad"),
        ("▲", "5.0 points", "good"),
        ("▼", "50.0 %", ""),
        ("", "none before", ""),
        ("▲", "× 25", "good"),
        ("=", "as before", ""),
    ]
    assert change(Cell("solved", "count", 5, 1)) is None


def test_buckets_and_keys_in_words() -> None:
    with reading(Reader("es", ZoneInfo("Europe/Madrid"))):
        assert bucket(START, "hour") == "01:00"
        assert bucket(START, "day") == "1 mar"
        assert bucket_long(START, "week") == "week of 1 mar 2026".replace("week of", "semana del")
        assert (key("weekday", "1"), key("language", "ru"), key("group", None)) == (
            "lun",
            "ruso",
            "ninguno",
        )
        assert span(START, END) == "1 mar 2026 – 4 mar 2026"
    assert (bucket(START, "quarter"), key("hour", "7"), key("channel", "chat")) == (
        "Q1 2026",
        "07:00",
        "chat",
    )


# ---- charts -------------------------------------------------------------------------------------


def test_a_chart_has_names_units_and_a_zero() -> None:
    rows = [
        Series("Median", [60, None, 7200]),
        Series("90 %", [120, 0, 14400], charts.ORANGE, "line"),
    ]
    made = charts.time_chart(["a", "b", "c"], rows, measure="seconds")
    assert made["yAxis"]["min"] == 0
    assert [s["data"] for s in made["series"]] == [[0.0167, None, 2.0], [0.0333, 0.0, 4.0]]
    assert "\\u003c" not in made["yAxis"]["axisLabel"][":formatter"]
    assert "\u00a0h" in made["yAxis"]["axisLabel"][":formatter"]
    assert made["legend"]["type"] == "scroll"
    strokes = {s.get("lineStyle", {}).get("type", "bar") for s in made["series"]}
    assert len(strokes) == len(rows)
    share = charts.time_chart(["a"], [Series("x", [0.25], kind="line")], measure="share")
    assert (share["yAxis"]["max"], share["series"][0]["data"]) == (100, [25.0])
    assert share["legend"] == {"show": False}


def test_text_in_a_formatter_never_leaves_its_string() -> None:
    made: dict[str, Any] = charts.heat_map(["0"], ["Mon"], [[3]], "</script>\"'`")
    formatter = made["tooltip"][":formatter"]
    assert "<" not in formatter
    assert '\\"' in formatter
    assert made["series"][0]["data"] == [[0, 0, 3]]


def test_every_metric_can_be_shown() -> None:
    for name in METRICS:
        assert figure(name, "mean" if METRICS[name].kind == "present" else "count", 1)


def test_a_thin_line_stays_in_its_drawing() -> None:
    assert line([1]) == line([]) == ""
    assert line([0, 5, None, 10]) == "M0.0,28.0L40.0,15.0L120.0,2.0"
