"""The facts made anew over HTTP: start it, and see how far it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.reporting.facts.rebuilding import Rebuilds


def rebuild_routes(rebuilds: Rebuilds) -> APIRouter:
    routes = APIRouter(tags=["facts"])

    @routes.post("/v1/facts/rebuild", status_code=202)
    async def start() -> dict[str, Any]:
        """Make the fact tables anew beside the live ones, which serve meanwhile, compare every row and
        figure, and switch. 409 `rebuild_running` while one is on its way."""
        return rebuilds.start().document()

    @routes.get("/v1/facts/rebuild")
    async def latest() -> dict[str, Any]:
        """How far the latest rebuild is, and what came of it."""
        return rebuilds.latest.document()

    return routes
