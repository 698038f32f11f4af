"""The endpoints of the rule set: the rules in force, a new version of them, and who put which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from libs.events.base import COUNT_MAX
from libs.runtime.errors import Rejected
from libs.runtime.http import actor_of, if_match_of, json_body_of, json_response, strict_json, takes
from libs.runtime.outbox import Outgoing
from libs.runtime.store import ServiceStore
from services.routing.domain.rule_check import Finding, check, errors_of
from services.routing.domain.rule_text import InvalidRules, document_of, rules_of
from services.routing.domain.rules import RoutingRules
from services.routing.store import Desk
from services.routing.store.rules import (
    RulesVersion,
    rules_at,
    rules_entry,
    rules_version,
    rules_versions,
)

LIST_MAX: Final = 1_000
NOTE_MAX: Final = 500
FINDINGS_MAX: Final = 200
"""Findings in one answer; a document may be wrong in thousands of places."""

Version = Annotated[int | None, Query(ge=0, le=COUNT_MAX)]


def rules_router(store: ServiceStore, desk: Desk) -> APIRouter:
    router = APIRouter(tags=["rules"])

    @router.get("/v1/rules")
    async def rules(
        version: Annotated[Version, Query(description="that version; default: the newest")] = None,
    ) -> Response:
        """The rules in force, or those of a past version. Version 0: the built-in defaults."""

        def query(connection: Connection) -> dict[str, Any]:
            wanted = rules_version(connection) if version is None else version
            found = rules_at(connection, wanted, desk.defaults)
            entry = rules_entry(connection, wanted)
            return {**entry._asdict(), "rules": document_of(found.rules)}

        shown = await store.read(query)
        return json_response(shown, headers=_etag(shown["version"]))

    @router.put("/v1/rules", openapi_extra=takes(RoutingRules))
    async def put(
        request: Request,
        dry_run: Annotated[
            bool, Query(description="only tell what would be wrong; change nothing")
        ] = False,
        note: Annotated[
            str | None, Query(max_length=NOTE_MAX, description="why, for whoever looks later")
        ] = None,
    ) -> Response:
        """Replace the whole rule set. With errors nothing is changed (422 `invalid_rules`);
        warnings are told. `If-Match` takes the ETag of the version that was read (412
        `stale_version` when there is a newer one). Rules that say the same are no new version."""
        actor, expected = actor_of(request), if_match_of(request)
        rules, findings = await _checked(store, desk, strict_json(await json_body_of(request)))
        if dry_run:
            valid = not errors_of(findings)
            return json_response({"valid": valid, "findings": findings[:FINDINGS_MAX]})
        if rules is None or errors_of(findings):
            raise _refusal(findings)
        change = desk.put_rules(rules, actor, note, expected)

        def changed(connection: Connection, outgoing: Outgoing) -> RulesVersion:
            return rules_entry(connection, change(connection, outgoing).version)

        entry = await store.write(changed)
        answer = {**entry._asdict(), "findings": findings[:FINDINGS_MAX]}
        return json_response(answer, headers=_etag(entry.version))

    @router.get("/v1/rules/versions")
    async def versions(
        before: Annotated[Version, Query(description="only those older than this one")] = None,
        limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100,
    ) -> Response:
        """Who put which version, when and why, the newest first."""
        found = await store.read(lambda c: rules_versions(c, before=before, limit=limit))
        return json_response({"versions": [entry._asdict() for entry in found]})

    return router


async def _checked(
    store: ServiceStore, desk: Desk, document: Any
) -> tuple[RoutingRules | None, list[Finding]]:
    """The rules that the document describes, if any, and all that is to be said about them."""
    try:
        rules = rules_of(document)
    except InvalidRules as invalid:
        return None, invalid.findings

    def query(connection: Connection) -> list[Finding]:
        agents = [a for a in desk.tables.agents_since(connection, 0) if not a.retired]
        skills = {agent.id: agent.skills for agent in agents}
        return check(rules, skills, {agent.id: agent.groups for agent in agents})

    # In a reader's thread, before the lock is taken: a large rule set takes up to seconds.
    return rules, await store.read(query)


def _refusal(findings: Sequence[Finding]) -> Rejected:
    errors = errors_of(findings)
    first = errors[0]
    place = f"{first.path}: " if first.path else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Rejected(
        "invalid_rules",
        f"{place}{first.message}{more}",
        status=422,
        findings=findings[:FINDINGS_MAX],
    )


def _etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}
