"""`python -m bench.equality [--json] [--sample] [--log NAME]`: every figure of two public logs, by the
services and by pandas from the file, compared exactly.

Exit status: 0 all equal, 1 something differs or is missing, 2 there is no such log here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Final

from bench.equality.logs import NOT_IN_THE_LOGS, data_folder, sources
from bench.equality.page import Found, table, write
from bench.equality.run import compare
from bench.harness import ROOT
from cli.output import progress
from services.reporting.domain.metrics import METRICS

PAGE: Final = ROOT / "docs" / "reference" / "equality.md"


def main() -> int:
    arguments = _arguments()
    chosen = [one for one in sources(sample=arguments.sample) if arguments.log in (None, one.name)]
    if not chosen:
        _tell(f"no such log in {data_folder()}: set BITACORA_TEST_DATA, or use --sample")
        return 2
    found = [asyncio.run(compare(one, tell=_tell, progress=progress)) for one in chosen]
    if arguments.json:
        print(json.dumps([one.as_json() for one in found], indent=2))
    else:
        print(table(tuple(METRICS), found, NOT_IN_THE_LOGS))
    for one in found:
        _complain(one)
    equal = all(one.equal for one in found)
    whole = not arguments.sample and arguments.log is None and len(found) == 2
    if equal and whole:
        write(PAGE, table(tuple(METRICS), found, NOT_IN_THE_LOGS))
        _tell(f"written to {PAGE.relative_to(ROOT)}")
    return int(not equal)


def _complain(one: Found) -> None:
    for problem in one.problems:
        _tell(f"{one.title}: {problem}")
    for name, tally in one.tallies.items():
        for difference in tally.differences:
            _tell(f"{one.title}: {name}: {difference}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.equality", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--sample", action="store_true", help="300 incidents that come along")
    parser.add_argument("--log", choices=["incidents", "helpdesk"], help="only this one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
