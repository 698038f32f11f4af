"""`bitacora verify`: checks the invariants on a running or a stopped system, with figures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from aiokafka.errors import KafkaError
from sqlalchemy import inspect, text

from cli.invariants import (
    Check,
    Effects,
    Log,
    LogReader,
    TopicReader,
    check_acknowledged,
    check_chains,
    check_effects,
    check_ledger,
    check_sequences,
    check_topics,
    event_of,
    note_effects,
    outbox_events,
    read_ledger,
    stored_events,
)
from cli.invariants_desk import DeskChecks
from cli.output import (
    DEFAULT_DATA_DIR,
    FAILED,
    DataDir,
    JsonFlag,
    NotRunning,
    print_json,
    print_table,
    progress,
    say,
)
from cli.system import database_url
from libs.events import EventEnvelope
from libs.events.sla import SlaBreached
from libs.events.topics import (
    AGENTS_EVENTS,
    ROUTING_DECISIONS,
    SLA_EVENTS,
    TICKETS_EVENTS,
    TICKETS_REJECTIONS,
)
from libs.runtime.database import Database
from libs.runtime.eventstore import EventStore
from libs.runtime.runstate import RunState, read_run
from libs.runtime.settings import SERVICES
from libs.runtime.topiclog import read_topics
from services.reporting.rebuild import rebuild

EVENT_TOPICS = (TICKETS_EVENTS, TICKETS_REJECTIONS, AGENTS_EVENTS, ROUTING_DECISIONS, SLA_EVENTS)
SPEAKERS = ("intake", "routing", "sla")
"""The services that say events of their own through an outbox."""

_STOPPED = "the system is stopped: start it with `bitacora up` to compare with the topics"


def verify(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: JsonFlag = False,
) -> None:
    """Check that nothing was lost, doubled, reordered or altered. Exit status 1 if something was."""
    state = read_run(data_dir)
    checks = asyncio.run(run_checks(data_dir, state))
    if as_json:
        print_json(
            {"ok": all(c.ok is not False for c in checks), "checks": list(map(_row, checks))}
        )
    else:
        _print(checks)
    if any(check.ok is False for check in checks):
        raise typer.Exit(FAILED)


async def run_checks(data_dir: Path, state: RunState | None) -> list[Check]:
    """All checks. Raises NotRunning when there is no store to look at."""
    databases = {name: _open(name, database_url(name, data_dir)) for name in SERVICES}
    try:
        return await _checks(databases, state)
    finally:
        for one in databases.values():
            one.close()


async def _checks(databases: dict[str, Database], state: RunState | None) -> list[Check]:
    """The desk may be at work meanwhile: where two things are compared, what is older is read first."""
    intake = databases["intake"]
    events = EventStore(intake, source="/bitacora/intake")
    reader, effects, breaches = LogReader(), Effects(), Counter[str]()
    desk = DeskChecks()
    try:
        heads = _heads(databases, events)
        published, why_not = await _published(state)
        with intake.reading() as connection:
            ledger_before = read_ledger(connection)
        with progress("reading the stores") as tick:
            for done, (name, topic, envelope) in enumerate(_stored(databases, events)):
                reader.take(topic, envelope, later=envelope.position > heads[name])
                if topic == TICKETS_EVENTS:
                    note_effects(effects, envelope)
                desk.take(envelope)
                if isinstance(event_of(envelope), SlaBreached):
                    breaches[_clock(envelope.stream_id, envelope.event)] += 1
                tick(done)
    finally:
        events.close()
    stored = reader.logs
    with intake.reading() as connection:
        acknowledged, ledger_after = check_acknowledged(connection), read_ledger(connection)
    return [
        acknowledged,
        check_topics(stored, published)
        if published is not None
        else Check("I2", "store = topic", None, detail=why_not),
        check_sequences(stored, published),
        await _check_rebuild(state),
        check_effects(effects, breaches),
        desk.clocks(),
        desk.capacity(),
        check_chains(stored),
        check_ledger(ledger_before, ledger_after, effects),
    ]


_LOG = "the event store"


def _heads(databases: dict[str, Database], events: EventStore) -> dict[str, int]:
    """The last position of the event store and of every outbox."""
    heads = {_LOG: events.last_position()}
    for name in SPEAKERS:
        with databases[name].reading() as connection:
            head = connection.execute(text("SELECT MAX(position) FROM outbox")).scalar()
            heads[name] = int(head or 0)
    return heads


def _stored(
    databases: dict[str, Database], events: EventStore
) -> Iterator[tuple[str, str, EventEnvelope]]:
    """(where it is stored, topic, event) for everything that was ever said."""
    for envelope in stored_events(events):
        yield _LOG, TICKETS_EVENTS, envelope
    for name in SPEAKERS:
        for topic, envelope in outbox_events(databases[name], f"/bitacora/{name}"):
            yield name, topic, envelope


async def _check_rebuild(state: RunState | None) -> Check:
    """I4: reporting's tables, made anew from the topics, are the same."""
    check = Check("I4", "live read model = rebuilt from zero", ok=None)
    if state is None:
        check.detail = _STOPPED
        return check
    try:
        with progress("rebuilding reporting") as tick:
            report = await rebuild(state.database_urls["reporting"], state.bootstrap, progress=tick)
    except (KafkaError, OSError) as error:
        check.detail = f"Kafka at {state.bootstrap} cannot be read: {error}"
        return check
    check.ok = report.ok
    check.figures = {
        "events": report.events,
        "rows": sum(table.live_rows for table in report.tables),
        "not applied yet": report.behind,
    }
    check.problems = [f"figure {figure}" for figure in report.figures]
    check.problems += [
        f"{table.table}: {table.missing} missing, {table.extra} extra, {table.different} different"
        for table in report.tables
        if not table.equal
    ]
    return check


async def _published(state: RunState | None) -> tuple[dict[str, Log] | None, str]:
    """What the topics hold, or None and why they cannot be read."""
    if state is None:
        return None, _STOPPED
    reader, done = TopicReader(), 0
    try:
        with progress("reading the topics") as tick:
            async for records in read_topics(state.bootstrap, EVENT_TOPICS):
                reader.take(records)
                done += len(records)
                tick(done)
    except (KafkaError, OSError) as error:
        return None, f"Kafka at {state.bootstrap} cannot be read: {error}"
    return reader.logs(), ""


def _open(service: str, url: str) -> Database:
    database = Database(url)
    if database.is_sqlite and not Path(str(database.url.database)).exists():
        database.close()
        raise NotRunning(
            f"there is no store of {service} at {database.url.database}: start a system with "
            "`bitacora up`, or name its directory with --data-dir"
        )
    with database.reading() as connection:
        if not inspect(connection).has_table("outbox"):
            raise NotRunning(
                f"the database of {service} holds nothing yet; run `bitacora up` first"
            )
    return database


def _clock(stream_id: str, breach: SlaBreached) -> str:
    """Names the clock: the activation of its metric, or, where none is told, its due time."""
    which = breach.activation or breach.due.isoformat()
    return f"{stream_id} {breach.metric} {which}"


def _row(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "title": check.title,
        "state": check.state,
        "figures": check.figures,
        "detail": check.detail,
        "problems": check.problems,
    }


def _print(checks: list[Check]) -> None:
    rows = [
        (
            check.name,
            check.title,
            check.state,
            check.detail or ", ".join(f"{name} {value}" for name, value in check.figures.items()),
        )
        for check in checks
    ]
    print_table(("", "invariant", "state", "figures"), rows)
    for check in checks:
        for problem in check.problems:
            say(f"{check.name}: {problem}")
