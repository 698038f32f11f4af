"""The fact tables in DuckDB: what they hold, column by column.

Each row follows from the events of one ticket (or one agent) alone, so a ticket whose history grew is
taken out and put in anew, and any instant of recorded time can be had by leaving later events out.
Instants are microseconds since 1970 (UTC), of business time unless named `recorded`; `…_s` are whole
seconds of calendar time, rounded down; `…_b` the same of business time, by the calendar that the
fact tables were made with. `ticket` is a number of this copy alone; `tickets.id` names the ticket.

The terms are Kimball's: `tickets` is an accumulating snapshot, `activities` are transactions.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2
"""Of the tables and of the fold that fills them. Another version makes the file anew."""

TICKET_DIMENSIONS: Final = """
    priority VARCHAR, category VARCHAR, subcategory VARCHAR, channel VARCHAR, language VARCHAR,
    organization VARCHAR, live BOOLEAN
"""
"""Of the ticket as it is now (or was at the instant that is asked for); repeated in every table."""

HOLDER: Final = "group_name VARCHAR, agent VARCHAR, tier INTEGER"
"""Who held the ticket at the row's own instant, whatever became of it later."""

TICKETS: Final = f"""
CREATE TABLE tickets (
    ticket BIGINT, id VARCHAR, number BIGINT, {TICKET_DIMENSIONS}, {HOLDER},
    status VARCHAR, substatus VARCHAR, tags VARCHAR[], requester VARCHAR, solved_by VARCHAR,
    problem VARCHAR,                       -- id of the problem ticket whose incident this is
    imported_from VARCHAR, external_ref VARCHAR, merged_into VARCHAR,
    created_us BIGINT, first_replied_us BIGINT, first_solved_us BIGINT,
    solved_us BIGINT,                      -- the resolution that stands; NULL while at work
    closed_us BIGINT, updated_us BIGINT,
    rating VARCHAR, rated_us BIGINT,       -- the latest rating
    first_reply_s BIGINT, first_reply_b BIGINT,
    first_resolution_s BIGINT, first_resolution_b BIGINT,
    resolution_s BIGINT, resolution_b BIGINT,          -- to the resolution that stands
    requester_wait_s BIGINT, requester_wait_b BIGINT,  -- in new, open, on_hold, to that resolution
    agent_work_s BIGINT, agent_work_b BIGINT,          -- in new, open, to that resolution
    on_hold_s BIGINT, on_hold_b BIGINT,                -- to that resolution
    handling_s BIGINT,                     -- in open with an agent holding it, to that resolution
    replies INTEGER, requester_messages INTEGER, internal_notes INTEGER,
    reopens INTEGER, hand_overs INTEGER, group_changes INTEGER, escalations INTEGER,
    ping_pongs INTEGER,                    -- hand-overs back to a holder who had it before
    agents INTEGER, groups INTEGER,        -- different ones that ever held it
    one_touch BOOLEAN,                     -- solved, never reopened, at most one public reply
    sequence BIGINT, sla_sequence BIGINT,  -- of the last events that count in these rows
    first_recorded_us BIGINT, last_recorded_us BIGINT
)"""
"""A row per ticket. The durations `requester_wait` to `handling` are NULL while the ticket is at work."""

ACTIVITIES: Final = f"""
CREATE TABLE activities (
    ticket BIGINT, sequence BIGINT, kind VARCHAR, {TICKET_DIMENSIONS}, {HOLDER},
    time_us BIGINT, recorded_us BIGINT,
    actor VARCHAR,                         -- as in the envelope: agent:…, requester:…, service:…
    value_s BIGINT, value_b BIGINT,
    since_us BIGINT,                       -- the instant from which the value is counted, if it is one
    detail VARCHAR
)"""
"""A row per thing that happened to a ticket, `kind`:

created · reply (public, by an agent; `value_s` since the oldest unanswered message of the requester,
NULL when there is none, `detail` 'first' or 'next') · requester_message · note · assigned (an agent
has it now) · handed_over · group_changed · ping_pong · escalated (`detail` the cause) · solved
(`value_s` since creation; `detail` 'first', 'again', or 'merged' when a merge solved it) · reopened · closed · merged · rated (`detail`
good or bad, `value_s` the ticket's handling time up to the resolution that is rated, group and agent
those of that resolution). One event may make several rows of different kinds.
"""

INTERVALS: Final = f"""
CREATE TABLE intervals (
    ticket BIGINT, ordinal INTEGER, {TICKET_DIMENSIONS}, {HOLDER},
    status VARCHAR, start_us BIGINT,
    end_us BIGINT,                         -- NULL: it lasts
    length_s BIGINT, length_b BIGINT       -- NULL while it lasts
)"""
"""A row per stretch in which neither the status nor the holder nor the tier of a ticket changed."""

VERDICTS: Final = f"""
CREATE TABLE verdicts (
    ticket BIGINT, metric VARCHAR, activation BIGINT, {TICKET_DIMENSIONS}, {HOLDER},
    policy VARCHAR, policy_version BIGINT, calendar VARCHAR,
    outcome VARCHAR,                       -- kept, breached, running, cancelled
    started_us BIGINT, due_us BIGINT,
    at_us BIGINT,                          -- when it was kept; the due time when it was breached
    target_s BIGINT, elapsed_s BIGINT      -- in the clock's own calendar, as the SLA service says
)"""
"""A row per SLA clock that was started. `at_us` is NULL while it runs and when it was cancelled."""

PRESENCES: Final = """
CREATE TABLE presences (
    agent VARCHAR, ordinal INTEGER, presence VARCHAR, capacity BIGINT, groups VARCHAR[],
    start_us BIGINT, end_us BIGINT
)"""
"""A row per stretch in which the presence, the capacity and the groups of an agent did not change."""

AGENTS: Final = """
CREATE TABLE agents (
    agent VARCHAR, sequence BIGINT, first_recorded_us BIGINT, last_recorded_us BIGINT
)"""
"""A row per agent: up to which event `presences` knows it, and when its events were recorded."""

META: Final = "CREATE TABLE meta (name VARCHAR, value VARCHAR)"
"""`version` of these tables; `store` (which one this is a copy of) and `revision` (up to which it is
complete); `calendar` (what the `…_b` columns were made with); `stamp`; `recorded_us`."""

TABLES: Final = {
    "tickets": TICKETS,
    "activities": ACTIVITIES,
    "intervals": INTERVALS,
    "verdicts": VERDICTS,
    "presences": PRESENCES,
    "agents": AGENTS,
    "meta": META,
}
