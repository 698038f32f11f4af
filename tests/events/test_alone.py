"""A data team installs libs.events with pydantic and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys

ALLOWED = {"libs", "pydantic", "pydantic_core", "annotated_types", "typing_extensions",
           "typing_inspection"} | set(sys.stdlib_module_names)

class OnlyPydantic:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"{name} is not there", name=name)
        if name.startswith("libs.") and not name.startswith("libs.events"):
            raise ModuleNotFoundError(f"{name} belongs to the services", name=name)
        return None

sys.meta_path.insert(0, OnlyPydantic())

import libs.events.approve, libs.events.generate, libs.events.verify
from libs.events import decode_event, evolve, Malformed

print(libs.events.generate.main(["--check"]), isinstance(decode_event(None, []), Malformed))
"""


def test_it_imports_pydantic_only() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0 True"), done.stderr
