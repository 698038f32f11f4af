"""Writes the dashboards' files from `boards.py`.

`python -m deploy.grafana.generate` writes; `--check` writes nothing and exits 1 when a file is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from deploy.grafana.boards import BOARDS
from deploy.grafana.panels import json_of

FILES: Final = Path(__file__).parent / "dashboards"


def wanted() -> dict[Path, str]:
    """Every file and what it must hold."""
    return {FILES / f"{board.uid}.json": json_of(board) for board in BOARDS}


def stale() -> list[Path]:
    """The files that are not what they must be, or should not be there."""
    files = wanted()
    wrong = [
        path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    return wrong + [path for path in FILES.glob("*.json") if path not in files]


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m deploy.grafana.generate [--check]\n")
        return 2
    wrong, files = stale(), wanted()
    for path in wrong:
        if arguments:
            sys.stderr.write(f"{path.name} is stale: run `python -m deploy.grafana.generate`\n")
        elif path in files:
            path.write_text(files[path], "utf-8")
        else:
            path.unlink()
    return 1 if arguments and wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
