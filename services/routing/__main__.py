"""`python -m services.routing`: run the service until it is told to stop."""

from __future__ import annotations

from libs.runtime.service import run
from services.routing.app import build
from services.routing.config import RoutingSettings

if __name__ == "__main__":
    run(build(RoutingSettings()))
