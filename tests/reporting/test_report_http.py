"""Reports over HTTP: the ways to ask, the formats, refusals, saved reports."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import schemathesis
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from libs.runtime.http import create_http_app
from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.facts.facts import Facts
from services.reporting.report.output import defused
from services.reporting.report.routes import report_routes
from services.reporting.report.service import Reports
from tests.reporting.drawn_facts import Drawn
from tests.reporting.fact_rows import MadeFacts, us
from tests.reporting.house import open_store, refreshed

MARCH = {"from": "2026-03-01", "to": "2026-04-01", "zone": "Europe/Madrid"}
SQL = "x') OR 1=1; DROP TABLE tickets; --"


@dataclass
class Desk:
    app: FastAPI
    facts: MadeFacts

    def call(self, method: str, path: str, **options: Any) -> Response:
        async def ask() -> Response:
            transport = ASGITransport(self.app)
            async with AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, expect: Any = 200, **parameters: Any) -> Any:
        answer = self.call("GET", path, params=parameters)
        assert answer.status_code == expect, answer.text[:500]
        return answer.json()

    def refused(self, code: str, **parameters: Any) -> str:
        found = self.get("/v1/report", 422, **parameters)
        assert found["code"] == code, found
        return str(found["detail"])


def serve(store: Any, facts: Any) -> FastAPI:
    async def ready() -> list[str]:
        return []

    app = create_http_app("reporting", readiness=ready)
    app.include_router(report_routes(store, Reports(facts, store.clock)))
    return app


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    file: Path = tmp_path_factory.mktemp("reports") / "r.sqlite3"
    facts = MadeFacts(Drawn(3, "2026-03-15T00:00", tickets=60).rows)
    with open_store(f"sqlite:///{file}") as store:
        yield Desk(serve(store, facts), facts)
    facts.close()


def test_a_report_says_what_it_was_asked_and_what_it_found(desk: Desk) -> None:
    found = desk.get(
        "/v1/report", metrics="created,first_reply_time", granularity="week", by="channel", **MARCH
    )
    assert found["query"]["from"] == "2026-02-28T23:00:00Z"
    assert found["to"] == "2026-03-31T22:00:00Z"
    assert [m["time"] for m in found["metrics"]] == [None, "calendar"]
    channels = list(dict.fromkeys(row["keys"]["channel"] for row in found["rows"]))
    assert channels == ["email", "form", "chat"]
    weeks = list(dict.fromkeys(row["bucket_local"] for row in found["rows"]))
    assert weeks[1] == "2026-03-02T00:00:00+01:00"
    assert weeks[-1] == "2026-03-30T00:00:00+02:00"
    total = desk.get("/v1/report", metrics="created", **MARCH)["rows"][0]["cells"][0]["value"]
    assert total == sum(row["cells"][0]["value"] for row in found["rows"]) > 0
    assert [c["aggregate"] for c in found["rows"][0]["cells"]] == ["count", "mean", "p50", "p90"]


def test_values_are_separated_by_commas_or_given_one_by_one(desk: Desk) -> None:
    def count(**filters: Any) -> int:
        rows = desk.get("/v1/report", metrics="created", **MARCH, **filters)["rows"]
        return int(rows[0]["cells"][0]["value"])

    both = count(priority="high,critical")
    assert both == count(priority=["high", "critical"])
    assert both == count(priority="high") + count(priority="critical") > 0
    assert count(organization="acme\\, inc.") > 0
    assert count(organization="acme, inc.") == 0
    assert count(category="") == count() - count(category="refund,login") > 0


def test_the_period_before_is_compared(desk: Desk) -> None:
    found = desk.get("/v1/report", metrics="created", compare="previous", **MARCH)
    february = desk.get(
        "/v1/report",
        metrics="created",
        zone="Europe/Madrid",
        **{"from": "2026-02-01", "to": "2026-03-01"},
    )
    cell = found["rows"][0]["cells"][0]
    assert cell["previous"] == february["rows"][0]["cells"][0]["value"] > 0


def test_csv_is_for_spreadsheets_and_runs_nothing_there(desk: Desk) -> None:
    answer = desk.call(
        "GET",
        "/v1/report",
        params={"metrics": "created,resolution_time", "by": "tag", "format": "csv", **MARCH},
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.endswith("\r\n")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == [
        "tag",
        "created",
        "resolution_time_mean",
        "resolution_time_p50",
        "resolution_time_p90",
    ]
    assert [row[0] for row in rows[1:]] == ["'=cmd()", "refund", "vip", ""]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1"])
def test_text_that_a_spreadsheet_would_run_is_defused(text: str) -> None:
    assert defused(text) == "'" + text


@pytest.mark.parametrize("text", ["-5", "+34600123456", "-1.5", "plain", "a=b", ""])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == text


def test_parquet_says_what_its_columns_are(desk: Desk) -> None:
    answer = desk.call(
        "GET",
        "/v1/report",
        params={
            "metrics": "created,first_reply_time",
            "granularity": "day",
            "compare": "previous",
            "time": "business",
            "format": "parquet",
            **MARCH,
        },
    )
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.num_rows == 31
    field = table.schema.field("first_reply_time_p90")
    assert field.metadata[b"unit"] == b"seconds"
    assert field.metadata[b"time"] == b"business"
    assert table.schema.field("created").metadata[b"unit"] == b"tickets"
    assert str(table.schema.field("bucket").type) == "timestamp[us, tz=Europe/Madrid]"
    report = desk.get(
        "/v1/report", metrics="created", granularity="day", compare="previous", **MARCH
    )
    cells = [row["cells"][0] for row in report["rows"]]
    assert table.column("created").to_pylist() == [cell["value"] for cell in cells]
    assert table.column("created_previous").to_pylist() == [cell["previous"] for cell in cells]


def test_facts_are_given_page_by_page(desk: Desk) -> None:
    asked = {"metrics": "replies", "granularity": "month", "by": "channel", **MARCH}
    row = desk.get("/v1/report", **asked)["rows"][0]
    seen: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = desk.get(
            "/v1/report/facts",
            **asked,
            **cursor,
            bucket=row["bucket"],
            key=row["keys"]["channel"],
            limit=2,
        )
        seen += page["facts"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == page["total"] == row["cells"][0]["facts"] > 4
    assert [fact["at"] for fact in seen] == sorted(fact["at"] for fact in seen)
    assert {fact["detail"]["kind"] for fact in seen} == {"reply"}


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("no_metric", {}),
        ("unknown_metric", {"metrics": "creatd"}),
        ("unknown_metric", {"metrics": SQL}),
        ("unknown_parameter", {"metrics": "created", "priorty": "high"}),
        ("unknown_parameter", {"metrics": "created", SQL: "high"}),
        ("unknown_dimension", {"metrics": "created", "by": "chanel"}),
        ("unknown_dimension", {"metrics": "created", "by": SQL}),
        ("unknown_value", {"metrics": "created", "priority": "hihg"}),
        ("unknown_aggregate", {"metrics": "resolution_time", "aggregates": "p42"}),
        ("not_an_aggregate", {"metrics": "created", "aggregates": "p90"}),
        ("not_by_dimension", {"metrics": "backlog", "by": "hour"}),
        ("not_by_dimension", {"metrics": "created,utilization", "by": "channel"}),
        ("not_by_dimension", {"metrics": "created", "rating": "good"}),
        ("unknown_granularity", {"metrics": "created", "granularity": "fortnight"}),
        ("unknown_time", {"metrics": "created", "time": "lunar"}),
        ("unknown_zone", {"metrics": "created", "zone": "Europe/Madird"}),
        ("unknown_zone", {"metrics": "created", "zone": "../../etc/passwd"}),
        ("unknown_zone", {"metrics": "created", "zone": "localtime"}),
        ("reversed_range", {"metrics": "created", "from": "2026-03-02", "to": "2026-03-01"}),
        ("reversed_range", {"metrics": "created", "from": "2026-03-01", "to": "2026-03-01"}),
        ("bad_instant", {"metrics": "created", "from": "2026-02-30"}),
        ("bad_instant", {"metrics": "created", "from": "2026"}),
        ("bad_instant", {"metrics": "created", "from": "2026-03-01T09:00:00"}),
        ("bad_instant", {"metrics": "created", "to": "2026-03-01T09:00:00 01:00"}),
        ("bad_instant", {"metrics": "created", "to": "9999-12-31"}),
        ("bad_instant", {"metrics": "created", "as_recorded_at": "yesterday"}),
        ("bad_period", {"metrics": "created", "last": "30 days"}),
        ("bad_period", {"metrics": "created", "last": "9999y"}),
        ("two_periods", {"metrics": "created", "last": "7d", "to": "2026-03-01"}),
        ("too_many_dimensions", {"metrics": "created", "by": "channel,priority,tag"}),
        ("twice", {"metrics": "created,created"}),
        ("twice", {"metrics": "created", "zone": ["UTC", "UTC"]}),
        ("twice", {"metrics": "created", "by": "tag,tag"}),
        ("unknown_format", {"metrics": "created", "format": "xlsx"}),
        ("bad_parameter", {"metrics": "created", "compare": "next"}),
        ("bad_parameter", {"metrics": "created", "category": "x" * 501}),
        (
            "too_many_buckets",
            {"metrics": "created", "granularity": "hour", "from": "0001-01-05", "to": "9999-12-01"},
        ),
        (
            "too_long_a_period",
            {"metrics": "created", "by": "hour", "from": "0001-01-05", "to": "9999-12-01"},
        ),
    ],
)
def test_senseless_questions_are_refused(desk: Desk, code: str, parameters: dict[str, Any]) -> None:
    desk.refused(code, **parameters)


def test_a_refusal_names_what_was_probably_meant(desk: Desk) -> None:
    assert "did you mean created" in desk.refused("unknown_metric", metrics="creatd")
    assert "Europe/Madrid" in desk.refused("unknown_zone", metrics="created", zone="Europe/Madird")
    assert "channel" in desk.refused("unknown_dimension", metrics="created", by="chanel")
    assert "priority" in desk.refused("unknown_parameter", metrics="created", priorty="high")


@pytest.mark.parametrize("text", [SQL, "'", '"', "$v0", "%", "?", "\\", "x\x00y", "🙂", "NULL"])
def test_words_of_users_are_values_and_nothing_else(desk: Desk, text: str) -> None:
    before = desk.get("/v1/report", metrics="created,backlog,agent_load")
    for name, dimension in DIMENSIONS.items():
        metric = next(m for m in METRICS.values() if name in _able(desk)[m.name])
        if dimension.values:
            desk.refused("unknown_value", metrics=metric.name, **{name: [text]})
        else:
            found = desk.get("/v1/report", metrics=metric.name, **{name: [text]})
            assert found["rows"][0]["cells"][0]["facts"] == 0
    assert desk.get("/v1/report", metrics="created,backlog,agent_load") == before


def _able(desk: Desk) -> dict[str, list[str]]:
    listed = desk.get("/v1/metrics")["metrics"]
    return {metric["name"]: metric["dimensions"] for metric in listed}


def test_groups_that_would_explode_are_refused() -> None:
    drawn = Drawn(1, "2026-03-15T00:00", tickets=1)
    shape = {**drawn.tickets[0], "created_us": us("2026-03-15T00:00")}
    tickets = [{**shape, "ticket": n, "requester": f"r{n}"} for n in range(1_001)]
    facts = MadeFacts({"tickets": tickets, "activities": drawn.rows["activities"]})
    with open_store("sqlite://") as store:
        desk = Desk(serve(store, facts), facts)
        said = desk.refused("too_many_groups", metrics="created", by="requester", **MARCH)
        assert "1,001" in said
        few = desk.get("/v1/report", metrics="created", by="requester", requester="r1,r2", **MARCH)
        assert [row["keys"]["requester"] for row in few["rows"]] == ["r1", "r2"]
        facts.insert("tickets", [{**shape, "ticket": 2_000, "requester": "r0", "created_us": 0}])
        said = desk.refused(
            "too_many_cells",
            metrics="created",
            by="requester",
            granularity="month",
            requester=[f"r{n}" for n in range(200)],
            **{"from": "1970-01-01", "to": "2026-12-01"},
        )
        assert "coarser" in said
    facts.close()


def test_the_definitions_are_served(desk: Desk) -> None:
    metrics = desk.get("/v1/metrics")["metrics"]
    assert [m["name"] for m in metrics] == list(METRICS)
    assert all(m["formula"] and m["events"] and m["aggregates"] for m in metrics)
    dimensions = desk.get("/v1/dimensions")["dimensions"]
    assert [d["name"] for d in dimensions] == list(DIMENSIONS)


QUESTION = {"metrics": ["created"], "last": "30d", "by": ["channel"], "filters": {"tag": ["vip"]}}


def test_a_report_is_saved_changed_run_and_forgotten(desk: Desk) -> None:
    path = "/v1/reports/flow of the month"
    made = desk.call("PUT", path, json=QUESTION, headers={"X-Bitacora-Actor": "agent:ana"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    same = desk.call("PUT", path, json=QUESTION)
    assert (same.status_code, same.headers["etag"]) == (200, '"1"')
    changed = desk.call(
        "PUT", path, json={**QUESTION, "granularity": "day"}, headers={"If-Match": '"1"'}
    )
    assert changed.headers["etag"] == '"2"'
    stale = desk.call("PUT", path, json=QUESTION, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    assert stale.json()["current_version"] == 2
    saved = desk.get(path)
    assert saved["question"] == {**QUESTION, "granularity": "day"}
    assert [r["name"] for r in desk.get("/v1/reports")["reports"]] == ["flow of the month"]
    ran = desk.get(path + "/run")
    assert len({row["bucket"] for row in ran["rows"]}) in (0, 30)
    assert ran["to"] == "2026-06-02T00:00:00Z"  # the clock of these tests stands on June 1
    assert desk.call("GET", path + "/run", params={"format": "csv"}).text.startswith(
        "bucket,channel,"
    )
    assert desk.get(path + "/run", 422, zone="UTC")["code"] == "unknown_parameter"
    assert desk.call("DELETE", path, headers={"If-Match": '"1"'}).status_code == 412
    assert desk.call("DELETE", path).status_code == 204
    assert desk.get(path, 404)["code"] == "unknown_report"


def test_a_report_that_could_not_be_answered_is_not_saved(desk: Desk) -> None:
    for body, code in (
        ({"metrics": ["creatd"]}, "unknown_metric"),
        ({"metrics": ["created"], "zone": "Mars"}, "unknown_zone"),
        ({"metrics": ["created"], "limit": 5}, "invalid_body"),
        ({"metrics": "created"}, "invalid_body"),
    ):
        refused = desk.call("PUT", "/v1/reports/bad", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert desk.call("PUT", "/v1/reports/a%00b", json=QUESTION).json()["code"] == "bad_name"
    assert "bad" not in [report["name"] for report in desk.get("/v1/reports")["reports"]]


def test_before_the_facts_are_there_one_is_told_to_come_again(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store:
        facts = Facts(store.database, clock=store.clock)
        answer = Desk(serve(store, facts), facts).call("GET", "/v1/report?metrics=created")  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["code"] == "facts_loading"
        facts.close()


def test_an_empty_desk_has_zeros(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, refreshed(store) as facts:
        desk = Desk(serve(store, facts), facts)  # type: ignore[arg-type]
        rows = desk.get("/v1/report", metrics="created,resolution_time,backlog", last="2d")["rows"]
        assert [c["value"] for c in rows[0]["cells"]] == [0, None, None, None, 0]
        rows = desk.get("/v1/report", metrics="created")["rows"]
        assert [row["cells"][0]["value"] for row in rows] == [0]
        assert desk.get("/v1/report", metrics="created", by="channel")["rows"] == []


def test_no_question_breaks_the_api(desk: Desk) -> None:
    """Schemathesis draws requests from the OpenAPI document; answers must be as documented."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", desk.app)
    wanted = schema.include(path_regex="^/v1/(metrics|dimensions|report)")

    for operation in wanted.get_all_operations():
        assert isinstance(operation, Ok)
        run = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        run(_drawn(operation.ok()))()


def _drawn(operation: Any) -> Any:
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call()
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.json()["code"], answer.text

    return ask


def test_without_a_calendar_there_is_no_business_time(tmp_path: Path) -> None:
    """Neither a figure nor a fact behind it, and no error."""
    drawn = Drawn(3, "2026-03-15T00:00", tickets=20).rows
    rows = {
        table: [{n: None if n.endswith("_b") else v for n, v in row.items()} for row in listed]
        for table, listed in drawn.items()
    }
    facts = MadeFacts(rows)
    with open_store(f"sqlite:///{tmp_path / 'r.sqlite3'}") as store:
        desk = Desk(serve(store, facts), facts)
        asked = {"metrics": "resolution_time", "aggregates": "count,sum,mean,p90", **MARCH}
        cells = desk.get("/v1/report", **asked, time="business")["rows"][0]["cells"]
        assert [(cell["value"], cell["facts"]) for cell in cells] == [
            (0, 0),
            (0, 0),
            (None, 0),
            (None, 0),
        ]
        del asked["aggregates"]
        assert desk.get("/v1/report/facts", **asked, time="business")["total"] == 0
        assert desk.get("/v1/report/facts", **asked)["total"] > 0
    facts.close()
