"""Routing over HTTP: agents, the queue, and the decisions on a ticket."""

from __future__ import annotations

from fastapi import APIRouter

from libs.runtime.store import ServiceStore
from services.routing.api.agents import agents_router
from services.routing.api.offers import offers_router
from services.routing.api.reading import reading_router
from services.routing.api.rules import rules_router
from services.routing.store import Desk

__all__ = ["create_router"]


def create_router(store: ServiceStore, desk: Desk) -> APIRouter:
    """All endpoints of the service."""
    router = APIRouter()
    router.include_router(agents_router(store, desk))
    router.include_router(offers_router(store, desk))
    router.include_router(reading_router(store, desk))
    router.include_router(rules_router(store, desk))
    return router
