"""`python -m services.sla`."""

from __future__ import annotations

from libs.runtime.service import run
from services.sla.app import build
from services.sla.config import SlaSettings

if __name__ == "__main__":
    run(build(SlaSettings()))
