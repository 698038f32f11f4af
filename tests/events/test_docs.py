"""What the documents show is true."""

from __future__ import annotations

import ast
import importlib
import re
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "libs" / "events" / "README.md").read_text(encoding="utf-8")
ENVELOPE = (ROOT / "docs" / "reference" / "envelope.md").read_text(encoding="utf-8")
HEADERS = (ROOT / "libs" / "events" / "headers.py").read_text(encoding="utf-8")


def test_the_example_of_a_hash_is_right() -> None:
    match = re.search(r"```\n(0{64}\n.*?)\n```\n.*?`([0-9a-f]{64})`", ENVELOPE, re.DOTALL)
    assert match is not None
    assert sha256(match[1].encode()).hexdigest() == match[2]


def test_the_examples_import_what_exists() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("libs."):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_every_code_of_a_malformed_message_is_documented() -> None:
    codes = set(re.findall(r'BadMessage\(\s*"(\w+)"', HEADERS))
    assert {"null_header", "duplicate_header"} <= codes
    for code in codes | {"invalid_data", "unknown_type"}:
        assert f"`{code}`" in ENVELOPE


def test_every_file_that_the_readme_names_is_there() -> None:
    folder = ROOT / "libs" / "events"
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    named = re.findall(r"`(\w+\.py)`", README)
    missing = [name for name in links + named if not (folder / name).exists()]
    assert missing == []
    assert {path.name for path in folder.glob("*.py")} - set(named) == {"__init__.py"}
