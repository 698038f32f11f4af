"""`python -m bench NAME [--json] [--quick] [--scale PART] [--profile DIR]`, `… list`, `… all`, `… table`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from bench.harness import ROOT, How, Result
from bench.report import sentence, write_table

BENCHMARKS: Final = (
    "incident_log",
    "http_create",
    "assign_latency",
    "sla_calculate",
    "sla_timers",
    "routing_decisions",
    "routing_day",
    "routing_history",
    "reporting_rebuild",
    "fold_peers",
    "reporting_year",
    "freshness",
)
"""One file each, with NAME, WHAT and `async def run(how) -> Result`."""
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "performance.md"


def main() -> int:
    """0, or 1 when something could not be measured. A goal that is missed is not a failure."""
    arguments = _arguments()
    how = How(arguments.quick, arguments.profile, arguments.scale, _tell)
    if arguments.name == "list":
        for name in BENCHMARKS:
            print(f"{name:18} {_module(name).WHAT}")
        return 0
    if arguments.name == "table":
        write_table(PAGE, RESULTS, BENCHMARKS)
        return 0
    names = BENCHMARKS if arguments.name == "all" else (arguments.name,)
    failed = False
    for name in names:
        try:
            result: Result = asyncio.run(_module(name).run(how))
        except Exception as error:  # noqa: BLE001 - the others can be measured still
            _tell(f"{name} could not be measured: {type(error).__name__}: {error}")
            failed = True
            continue
        found = result.as_json()
        if not how.quick:
            RESULTS.mkdir(parents=True, exist_ok=True)
            (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        print(json.dumps(found, indent=2) if arguments.json else sentence(found))
    if arguments.name == "all" and not how.quick:
        write_table(PAGE, RESULTS, BENCHMARKS)
    return int(failed)


def _module(name: str) -> Any:
    return importlib.import_module(f"bench.{name}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHMARKS, "all", "list", "table"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a small load; figures mean little")
    parser.add_argument("--scale", type=float, metavar="PART", help="of the largest size (0 to 1)")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="profile the services (py-spy)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
