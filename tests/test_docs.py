"""What the guides say is there is there: links, commands, settings, topics, metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from cli.main import SUBCOMMANDS
from cli.main import app as bitacora
from deploy import reference
from libs.events.topics import TOPICS
from libs.runtime.settings import HTTP_PORTS, SERVICES, ServiceSettings, variable_of
from services.intake.config import IntakeSettings
from services.reporting.config import ReportingSettings
from services.routing.config import RoutingSettings
from services.sla.config import SlaSettings

ROOT: Final = Path(__file__).resolve().parents[1]
ROOMS: Final = ("libs", "services", "cli", "bench", "deploy", "docs", "tests")
SETTINGS: Final = (IntakeSettings, RoutingSettings, SlaSettings, ReportingSettings)
PER_SERVICE: Final = ("database_url", "http_host", "http_port")
OPERATIONS: Final = ROOT / "docs" / "guides" / "operations.md"

LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
COMMAND: Final = re.compile(r"(?:^|`|venv/bin/)bitacora ([a-z][^`#\n]*)", re.MULTILINE)
METRIC: Final = re.compile(
    r"`(bitacora_\w+_(?:total|seconds|bytes|events|records|messages|tickets|rows|size))`"
)
SETTING_ROW: Final = re.compile(r"^\| `(BITACORA_[A-Z_<>]+)` \| (.+?) \|", re.MULTILINE)


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.md"))]
    return sorted(file for file in found if "node_modules" not in file.parts)


def prose(text: str) -> str:
    """Without blocks of code, in which brackets mean other things."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(file: Path) -> frozenset[str]:
    """The names under which a page's headings are linked to."""
    names = []
    for heading in HEADING.findall(prose(file.read_text("utf-8"))):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        names.append(plain.strip().replace(" ", "-"))
    return frozenset(names)


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(file: Path) -> None:
    for target in LINK.findall(prose(file.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (file.parent / path).resolve() if path else file
        assert there.exists(), f"{file.name}: {target}"
        assert there.is_relative_to(ROOT), f"{file.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{file.name}: {target}"


def test_every_page_of_the_guides_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for file in (ROOT / "docs" / "guides").glob("*.md"):
        assert f"](guides/{file.name})" in index


def commands_in(text: str) -> Iterator[list[str]]:
    for line in COMMAND.findall(text):
        yield re.split(r"[\s,;:.)]+", line.split("|")[0].strip())


@cache
def loaded(name: str) -> Any:
    return SUBCOMMANDS[name].load()


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_that_is_mentioned_exists(file: Path) -> None:
    for words in commands_in(file.read_text("utf-8")):
        assert words[0] in SUBCOMMANDS, f"bitacora {' '.join(words)}"
        command = loaded(words[0])
        for word in words[1:]:
            inner = getattr(command, "commands", None)
            if not inner or not re.fullmatch(r"[a-z][a-z-]*", word):
                break
            assert word in inner, f"bitacora {' '.join(words)}"
            command = inner[word]
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        for word in words:
            if word.startswith("--"):
                assert word in options, f"bitacora {' '.join(words)}"


def test_the_command_is_what_help_shows() -> None:
    group: Any = typer.main.get_command(bitacora)
    assert group.list_commands(None) == list(SUBCOMMANDS)


def test_the_tables_of_settings_are_complete_and_right() -> None:
    shown = dict(SETTING_ROW.findall(OPERATIONS.read_text("utf-8")))
    expected: dict[str, str] = {}
    for settings in SETTINGS:
        for field, info in settings.model_fields.items():
            if field in PER_SERVICE:
                continue
            expected[variable_of(settings, field)] = f"`{_as_written(info.default)}`"
    for field in PER_SERVICE:
        assert field in ServiceSettings.model_fields
        assert shown.pop(f"BITACORA_<SERVICE>_{field.upper()}")
    assert shown == expected


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_topic_is_described_as_it_is() -> None:
    text = OPERATIONS.read_text("utf-8")
    for topic in TOPICS:
        days = topic.retention_ms // 86_400_000
        kept = "for ever" if topic.retention_ms < 0 else f"{days} days"
        assert f"| `{topic.name}` | {topic.owner} | {topic.partitions} | {kept} |" in text
    assert all(f"`{service}.parked`" in text for service in SERVICES)
    assert min(HTTP_PORTS.values()) == 8801
    assert max(HTTP_PORTS.values()) == 8804


def test_the_reference_of_the_metrics_is_current() -> None:
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run `python -m deploy.reference`"


def test_every_metric_that_is_mentioned_exists() -> None:
    known = {metric.name for metric in reference.definitions()}
    for name in METRIC.findall("".join(file.read_text("utf-8") for file in documents())):
        assert re.sub(r"_(bucket|sum|count)$", "", name) in known, name
