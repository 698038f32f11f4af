"""The versions of the rule set: a table to which rows are only ever added.

`version` is its key: of two processes that put rules at the same moment one is refused, whatever lock
they hold. What a version says is never changed, because decision records refer to it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from libs.events.routing import RoutingRulesChanged
from libs.events.topics import ROUTING_DECISIONS
from libs.runtime.errors import Rejected
from libs.runtime.outbox import Outgoing
from services.routing.domain.rule_text import document_of
from services.routing.domain.rules import RoutingRules, VersionedRules
from services.routing.views.columns import instant_of, micros

STREAM: Final = "rules"
DEFAULTS: Final = RoutingRules()

routing_rules: Final = Table(
    "routing_rules",
    MetaData(),  # only for the definition: `declare_rules` copies it
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("actor", String(250), nullable=False),
    Column("note", Text),
    Column("since_us", BigInteger, nullable=False),
)


class RulesVersion(NamedTuple):
    """One version and who put it, when and why. `since` is None for version 0, the defaults."""

    version: int
    actor: str
    note: str | None
    since: datetime | None


def declare_rules(metadata: MetaData) -> None:
    """Let the table be created with the others of `metadata`."""
    routing_rules.to_metadata(metadata)


def rules_version(connection: Connection) -> int:
    """The newest version, 0 when nobody has put any rules yet."""
    return int(connection.scalar(select(func.max(routing_rules.c.version))) or 0)


def current_rules(connection: Connection, defaults: RoutingRules = DEFAULTS) -> VersionedRules:
    """The newest rules; `defaults` as version 0 when nobody has put any yet."""
    return rules_at(connection, rules_version(connection), defaults)


def rules_at(
    connection: Connection, version: int, defaults: RoutingRules = DEFAULTS
) -> VersionedRules:
    """That version of the rules. Raises Rejected (404, `unknown_version`)."""
    if version == 0:
        return VersionedRules(0, defaults)
    query = select(routing_rules.c.document).where(routing_rules.c.version == version)
    document = connection.scalar(query)
    if document is None:
        detail = f"There is no version {version} of the rules; /v1/rules/versions lists them."
        raise Rejected("unknown_version", detail, status=404)
    return VersionedRules(version, RoutingRules.model_validate_json(document))


def rules_versions(
    connection: Connection, *, before: int | None = None, limit: int = 100
) -> list[RulesVersion]:
    """Who put which version, the newest first; with `before` only those older than that one."""
    r = routing_rules.c
    query = select(r.version, r.actor, r.note, r.since_us).order_by(r.version.desc()).limit(limit)
    if before is not None:
        query = query.where(r.version < before)
    return [_entry(row) for row in connection.execute(query)]


def rules_entry(connection: Connection, version: int) -> RulesVersion:
    """Who put that version. The version must exist."""
    if version == 0:
        return RulesVersion(0, "system", None, None)
    r = routing_rules.c
    query = select(r.version, r.actor, r.note, r.since_us).where(r.version == version)
    return _entry(connection.execute(query).one())


def put_rules(
    connection: Connection,
    outgoing: Outgoing,
    rules: RoutingRules,
    actor: str,
    note: str | None,
    expected: int | None,
    *,
    now: datetime,
) -> VersionedRules:
    """A new version of the rules, and the event that says so, in the caller's transaction.

    Rules that say the same as the newest version are no new version. `expected` is the version that
    the caller knows (None: any). Raises Rejected: 412 `stale_version` when it is not the newest, 409
    `rules_changed` when another process was faster by a moment. Whether the rules make sense is not
    asked here (`rule_check.check`).
    """
    newest = current_rules(connection)
    if expected is not None and expected != newest.version:
        raise Rejected(
            "stale_version",
            f"The rules are at version {newest.version}, not {expected}: read them again and"
            " change them anew.",
            status=412,
            current_version=newest.version,
        )
    if newest.version and newest.rules == rules:
        return newest
    made = VersionedRules(newest.version + 1, rules)
    row: dict[str, Any] = {
        "version": made.version,
        "document": rules.model_dump_json(),
        "actor": actor,
        "note": note,
        "since_us": micros(now),
    }
    try:
        connection.execute(insert(routing_rules), row)
    except IntegrityError:
        detail = "Somebody else changed the rules at this moment: read them again, then retry."
        raise Rejected("rules_changed", detail) from None
    event = RoutingRulesChanged(version=made.version, rules=document_of(rules), note=note)
    outgoing.event(ROUTING_DECISIONS, STREAM, event, time=now, actor=actor)
    return made


def _entry(row: Row[int, str, str | None, int]) -> RulesVersion:
    version, actor, note, since_us = row
    return RulesVersion(version, actor, note, instant_of(since_us))
