"""`python -m services.intake`."""

from __future__ import annotations

from libs.runtime.service import run
from services.intake.app import build
from services.intake.config import IntakeSettings

if __name__ == "__main__":
    run(build(IntakeSettings()))
