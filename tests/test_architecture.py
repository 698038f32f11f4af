"""The rules of the house (docs/adr, and the shape of the tree), read from the source itself."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
ROOMS: Final = ("libs", "services", "cli", "bench", "tests")
SERVICES: Final = ("intake", "routing", "sla", "reporting")
LINES_MAX: Final = 500
CLOCK: Final = "libs.runtime.clock"

ABOVE: Final = {
    "domain": ("store", "views", "handlers", "api", "app", "config"),
    "views": ("handlers", "api", "app"),
    "store": ("handlers", "api", "app"),
    "handlers": ("app",),
    "api": ("app",),
}
"""app → api, handlers → store, views → domain: what each must not reach, through any module."""

IMPURE: Final = frozenset(
    "aiokafka asyncio concurrent contextvars ctypes fastapi faststream httpx io logging"
    " multiprocessing os pathlib psycopg queue random secrets select shutil signal socket sqlalchemy"
    " sqlite3 stamina structlog subprocess sys tempfile threading time".split()
)
IMPURE_CALLS: Final = frozenset(
    "open print input exec eval uuid1 uuid4 getrandbits"
    " datetime.now datetime.utcnow datetime.today date.today".split()
)
PUBLISHED: Final = ("libs.events", "libs.worktime")
"""Rooms that a domain may build upon."""
PUBLISHED_PURE: Final = ("fold", "base", "ticket", "agent", "routing", "sla", "rejection")
"""Modules of libs.events that are as pure as a domain."""
WORKTIME_USERS: Final = ("services.sla", "services.routing", "services.reporting")
"""Who counts business time, beside the command line, the benchmarks and the tests."""

PLACES: Final = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/[\w.]|[A-Z]:\\Users\\")
TEXTS: Final = frozenset({".py", ".md", ".toml", ".yaml", ".yml", ".xml", ".json", ".txt", ".html"})


@cache
def modules() -> dict[str, Path]:
    """Every module of ours, by import name."""
    found = {}
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text("utf-8"))


@cache
def imports(name: str) -> frozenset[str]:
    """What a module imports, wherever in it; names of our modules as long as they go."""
    found: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{name} imports relatively"
            found.add(node.module)
            deeper = (f"{node.module}.{alias.name}" for alias in node.names)
            found.update(module for module in deeper if module in modules())
    return frozenset(found)


@cache
def reach(name: str, within: str) -> frozenset[str]:
    """Every module below the package `within` that `name` imports, directly or through another."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        for imported in imports(todo.pop()):
            inside = imported.startswith(within + ".") and imported in modules()
            if inside and imported not in seen:
                seen.add(imported)
                todo.append(imported)
    return frozenset(seen)


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def of(package: str) -> list[str]:
    return [name for name in modules() if is_in(name, package)]


def domain_modules() -> Iterator[str]:
    for service in SERVICES:
        yield from of(f"services.{service}.domain")


def test_the_rooms_are_there() -> None:
    for service in SERVICES:
        for room in ("domain", "store", "handlers", "api", "config", "app", "__main__"):
            name = f"services.{service}.{room}"
            known = name in modules() or (service, room) == ("reporting", "store")
            assert known, f"{name} is missing: rooms keep their names"


def test_the_published_language_needs_pydantic_only() -> None:
    allowed = sys.stdlib_module_names | {"pydantic", "pydantic_core"}
    for name in of("libs.events"):
        for imported in imports(name):
            top = imported.partition(".")[0]
            assert is_in(imported, "libs.events") or imported == "libs" or top in allowed, (
                f"{name} imports {imported}"
            )


def test_the_runtime_knows_no_service() -> None:
    for name in of("libs.runtime"):
        for imported in imports(name):
            ours = imported.partition(".")[0] in ROOMS
            assert not ours or is_in(imported, "libs"), f"{name} imports {imported}"


def test_business_time_stands_alone_and_is_imported_by_those_who_count_it() -> None:
    for name in of("libs.worktime"):
        for imported in imports(name):
            top = imported.partition(".")[0]
            assert top not in IMPURE, f"{name} imports {imported}"
            ours = top in ROOMS and not is_in(imported, "libs.worktime")
            assert not ours, f"{name} imports {imported}"
    for name in (*of("libs"), *of("services")):
        if not any(is_in(name, user) for user in ("libs.worktime", *WORKTIME_USERS)):
            for imported in imports(name):
                assert not is_in(imported, "libs.worktime"), f"{name} imports {imported}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_itself_and_libs_only(service: str) -> None:
    for name in of(f"services.{service}"):
        for imported in imports(name):
            ours = imported.partition(".")[0] in ROOMS and imported != "services"
            allowed = is_in(imported, f"services.{service}") or is_in(imported, "libs")
            assert not ours or allowed, f"{name} imports {imported}"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("layer", ABOVE)
def test_imports_go_one_way(service: str, layer: str) -> None:
    package = f"services.{service}"
    for name in of(f"{package}.{layer}"):
        for reached in reach(name, package):
            for above in ABOVE[layer]:
                assert not is_in(reached, f"{package}.{above}"), f"{name} reaches {reached}"


def test_a_domain_imports_the_published_language_and_pure_modules_only() -> None:
    for name in domain_modules():
        own = ".".join(name.split(".")[:3])
        for imported in imports(name):
            top = imported.partition(".")[0]
            if top in ROOMS:
                allowed = any(is_in(imported, room) for room in (own, *PUBLISHED))
                # The words for "refused" are part of what a domain says.
                assert allowed or imported == "libs.runtime.errors", f"{name} imports {imported}"
            assert top not in IMPURE, f"{name} imports {imported}"


def test_domains_and_the_fold_do_no_io_and_take_no_time_or_chance_of_their_own() -> None:
    published = (f"libs.events.{module}" for module in PUBLISHED_PURE)
    for name in (*domain_modules(), *published, *of("libs.worktime")):
        assert not {i.partition(".")[0] for i in imports(name)} & IMPURE, name
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await):
                pytest.fail(f"{name}:{node.lineno} is asynchronous")
            if isinstance(node, ast.Call):
                called = ".".join(ast.unparse(node.func).split(".")[-2:])
                assert called not in IMPURE_CALLS, f"{name}:{node.lineno} calls {called}"


def test_only_entry_points_import_a_composition_root() -> None:
    for name in modules():
        if name.partition(".")[0] in ("cli", "bench", "tests") or name.endswith(".__main__"):
            continue
        for imported in imports(name):
            root = imported.startswith("services.") and imported.endswith(".app")
            assert not root, f"{name} imports {imported}"


def test_time_comes_from_the_clock() -> None:
    asked = re.compile(
        r"\bdatetime\.(?:now|utcnow|today)\b|\bdate\.today\b"
        r"|\btime\.(?:time|time_ns|monotonic|monotonic_ns|perf_counter)\("
    )
    for name, file in modules().items():
        if name == CLOCK or name.partition(".")[0] in ("tests", "bench"):
            continue
        found = asked.findall(file.read_text("utf-8"))
        assert found == [], f"{name} (use the injected clock)"


def test_the_relay_alone_produces_to_kafka() -> None:
    allowed = {"libs.runtime.kafka", "libs.runtime.relay"}
    for name in modules():
        if name in allowed or name.partition(".")[0] in ("tests", "bench"):
            continue
        names = {node.id for node in ast.walk(tree(name)) if isinstance(node, ast.Name)}
        assert "AIOKafkaProducer" not in names, f"{name} produces to Kafka"


def test_files_stay_short() -> None:
    long = {
        name: lines
        for name, file in modules().items()
        if (lines := len(file.read_text("utf-8").splitlines())) > LINES_MAX
    }
    assert not long, f"longer than {LINES_MAX} lines: {long}"


def test_nothing_names_a_place_of_one_machine() -> None:
    files = [file for file in (ROOT / "Makefile", ROOT / ".ci" / "run") if file.exists()]
    files += [file for file in ROOT.iterdir() if file.suffix in TEXTS]
    for room in (*ROOMS, "docs", "deploy"):
        files += [file for file in (ROOT / room).rglob("*") if file.suffix in TEXTS]
    for file in files:
        if file != Path(__file__).resolve():
            found = PLACES.findall(file.read_text("utf-8", "replace"))
            assert found == [], file.relative_to(ROOT)
