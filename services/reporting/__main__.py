"""`python -m services.reporting`: run the service until it is told to stop."""

from __future__ import annotations

from libs.runtime.service import run
from services.reporting.app import build
from services.reporting.config import ReportingSettings

if __name__ == "__main__":
    run(build(ReportingSettings()))
