"""Synthetic fact tables in DuckDB, made by SQL alone, to look at the plans and times of reports.

The rows have the shapes and the cardinalities of a large desk; they follow from no events. `python -m
bench.report_facts FILE TICKETS` writes the file.
"""

# ruff: noqa: S608 - the SQL is made of words of this file

from __future__ import annotations

import sys
from typing import Any, Final

import duckdb

from services.reporting.facts.tables import TABLES

YEAR_US: Final = 365 * 86_400_000_000
START_US: Final = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
AGENTS: Final = 1_000
_DIMS: Final = "priority, category, subcategory, channel, language, organization, live"


def _pick(words: str, salt: int, of: str = "ticket") -> str:
    listed = words.split()
    return f"{listed!r}[1 + (hash({of}, {salt}) % {len(listed)})::INT]"


def fill(connection: Any, tickets: int) -> None:
    """Fill empty tables with `tickets` tickets of one year, some 7 activities each."""
    run = connection.execute
    for sql in TABLES.values():
        run(sql)
    run(
        f"""INSERT INTO tickets BY NAME
        WITH drawn AS (SELECT range AS ticket,
            {START_US} + range * ({YEAR_US} // {tickets}) AS created_us,
            60 + (-ln((hash(range, 1) % 1000000 + 1) / 1000001.0) * 7000)::BIGINT AS first_reply_s,
            600 + (-ln((hash(range, 2) % 1000000 + 1) / 1000001.0) * 90000)::BIGINT AS long_s,
            (hash(range, 3) % 100 < 8)::INT AS reopens
            FROM range({tickets}))
        SELECT ticket, printf('t-%d', ticket) AS id, ticket AS number, created_us,
            {_pick("low medium medium high critical", 4)} AS priority,
            'category ' || (hash(ticket, 5) % 40) AS category,
            'sub ' || (hash(ticket, 6) % 200) AS subcategory,
            {_pick("email email form chat chat phone whatsapp", 7)} AS channel,
            {_pick("es es ru en", 8)} AS language, 'org ' || (hash(ticket, 9) % 300) AS organization,
            hash(ticket, 10) % 10 > 0 AS live, 'group ' || (hash(ticket, 11) % 30) AS group_name,
            'agent ' || (hash(ticket, 12) % {AGENTS}) AS agent, 1 + (hash(ticket, 13) % 3)::INT AS tier,
            CASE WHEN created_us + long_s * 1000000 < {START_US + YEAR_US} THEN 'closed' ELSE 'open' END
                AS status,
            ['tag ' || (hash(ticket, 14) % 50), 'tag ' || (50 + hash(ticket, 15) % 50)]
                [1:(hash(ticket, 16) % 3)::INT] AS tags,
            'requester ' || (hash(ticket, 17) % ({tickets} // 3)) AS requester,
            created_us + first_reply_s * 1000000 AS first_replied_us,
            created_us + long_s * 1000000 AS first_solved_us,
            CASE WHEN status = 'closed' THEN created_us + long_s * 1000000 END AS solved_us,
            first_reply_s, first_reply_s // 3 AS first_reply_b,
            CASE WHEN status = 'closed' THEN long_s END AS resolution_s, long_s // 4 AS resolution_b,
            long_s // 2 AS requester_wait_s, long_s // 8 AS requester_wait_b,
            long_s // 3 AS agent_work_s, long_s // 9 AS agent_work_b, long_s // 20 AS on_hold_s,
            long_s // 50 AS on_hold_b, (hash(ticket, 18) % 4000)::BIGINT AS handling_s,
            1 + (hash(ticket, 19) % 4)::INT AS replies, reopens, (hash(ticket, 20) % 3)::INT
            AS hand_overs, hash(ticket, 21) % 3 = 0 AS one_touch,
            CASE WHEN hash(ticket, 22) % 50 = 0 THEN printf('p-%d', ticket % 500) END AS problem
        FROM drawn"""
    )
    run(
        f"""INSERT INTO activities BY NAME
        SELECT t.ticket, k.sequence, k.kind, {_DIMS}, group_name,
            'agent ' || (hash(t.ticket, k.sequence) % {AGENTS}) AS agent, tier,
            t.created_us + (k.part * coalesce(resolution_s, 90000) * 10000)::BIGINT AS time_us,
            time_us AS recorded_us, 'agent:a' AS actor,
            (k.part * coalesce(resolution_s, 90000) / 100)::BIGINT AS value_s, value_s // 3 AS value_b,
            k.detail
        FROM tickets t, (VALUES (1, 'created', 0, NULL), (2, 'assigned', 1, NULL),
            (3, 'reply', 5, 'first'), (4, 'requester_message', 40, NULL), (5, 'reply', 60, 'next'),
            (6, 'note', 70, NULL), (7, 'handed_over', 80, NULL), (8, 'solved', 100, 'first'))
            k(sequence, kind, part, detail)
        WHERE k.kind <> 'solved' OR solved_us IS NOT NULL ORDER BY t.ticket, k.sequence"""
    )
    run(
        f"""INSERT INTO activities BY NAME
        SELECT ticket, 9 AS sequence, 'rated' AS kind, {_DIMS}, group_name, agent, tier,
            solved_us + 3600000000 AS time_us, time_us AS recorded_us, 'requester:r' AS actor,
            handling_s AS value_s, CASE WHEN hash(ticket, 23) % 5 = 0 THEN 'bad' ELSE 'good' END AS detail
        FROM tickets WHERE solved_us IS NOT NULL AND hash(ticket, 24) % 4 = 0"""
    )
    run(
        f"""INSERT INTO intervals BY NAME
        SELECT t.ticket, k.ordinal, {_DIMS}, group_name,
            CASE WHEN k.ordinal > 1 THEN 'agent ' || (hash(t.ticket, k.ordinal // 3) % {AGENTS}) END
                AS agent, tier, k.status,
            t.created_us + (k.low * coalesce(resolution_s, 90000) * 10000)::BIGINT AS start_us,
            CASE WHEN k.high IS NOT NULL AND (solved_us IS NOT NULL OR k.high < 100) THEN
                t.created_us + (k.high * coalesce(resolution_s, 90000) * 10000)::BIGINT END AS end_us
        FROM tickets t, (VALUES (1, 'new', 0, 1), (2, 'open', 1, 10), (3, 'pending', 10, 40),
            (4, 'open', 40, 80), (5, 'on_hold', 80, 100), (6, 'solved', 100, NULL))
            k(ordinal, status, low, high)
        WHERE k.status <> 'solved' OR solved_us IS NOT NULL ORDER BY t.ticket, k.ordinal"""
    )
    run(
        f"""INSERT INTO verdicts BY NAME
        SELECT ticket, k.metric, 1 AS activation, {_DIMS}, group_name, agent, tier,
            'policy ' || (hash(ticket, 25) % 5) AS policy, 'desk' AS calendar,
            CASE WHEN hash(ticket, k.metric) % 8 = 0 THEN 'breached' ELSE 'kept' END AS outcome,
            created_us AS started_us, created_us + 3600000000 AS due_us, first_replied_us AS at_us
        FROM tickets, (VALUES ('first_reply'), ('total_resolution')) k(metric)"""
    )
    run(
        f"""INSERT INTO presences BY NAME
        SELECT 'agent ' || a.range AS agent, d.range * 3 + k.ordinal AS ordinal, k.presence,
            8 AS capacity, ['group ' || (a.range % 30)] AS groups,
            {START_US} + (d.range * 24 + k.low) * 3600000000 AS start_us,
            {START_US} + (d.range * 24 + k.high) * 3600000000 AS end_us
        FROM range({AGENTS}) a, range(365) d, (VALUES (0, 'online', 9, 13), (1, 'away', 13, 14),
            (2, 'online', 14, 18)) k(ordinal, presence, low, high)"""
    )


if __name__ == "__main__":
    with duckdb.connect(sys.argv[1]) as made:
        fill(made, int(sys.argv[2]))
