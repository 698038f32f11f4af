"""Fixtures for everybody: databases, Kafka, Chromium (tests/backends says where they come from)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.runtime.embedded import BrokerUnavailable, EmbeddedBroker
from tests.backends.shared import (
    SESSION_PID,
    Kafka,
    PrometheusTools,
    address_of,
    delete_topics,
    fresh_database,
    in_thread,
    locked,
    missing,
    stop_keepers,
)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[SESSION_PID] = str(os.getpid())


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        stop_keepers(_shared_directory(session.config))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the shared Kafka follow each other on one worker; those on real servers get time."""
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.xdist_group("kafka"))


def _shared_directory(config: pytest.Config) -> Path:
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    directory = (base.parent if hasattr(config, "workerinput") else base) / "backends"
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def backends(request: pytest.FixtureRequest) -> Path:
    """The directory that all workers share."""
    return _shared_directory(request.config)


@pytest.fixture(scope="session")
def postgres_server(backends: Path) -> str:
    """The URL of a PostgreSQL whose user may create databases."""
    return address_of("postgres", backends)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/test.sqlite3"


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A new, empty PostgreSQL database. Mark the test with `postgres`."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database: the test runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def embedded_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """An embedded broker of this test's own."""
    try:
        with EmbeddedBroker(log_file=tmp_path / "broker.log") as broker:
            yield Kafka(broker.bootstrap, embedded=True, broker=broker)
    except BrokerUnavailable as error:
        missing("kafka", str(error))


@pytest.fixture
def apache_kafka(backends: Path) -> Iterator[Kafka]:
    """The shared Apache Kafka, without topics, for this test alone. Mark the test with `kafka`."""
    bootstrap = address_of("kafka", backends)
    with locked(backends / "kafka.turn"):
        in_thread(delete_topics(bootstrap))
        yield Kafka(bootstrap, embedded=False)


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """A Kafka without topics: the test runs on the embedded broker and on Apache Kafka."""
    made: Kafka = request.getfixturevalue(f"{request.param}_kafka")
    return made


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium, for Playwright's `executable_path`. Mark the test with `browser`."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    missing("browser", "install chromium")
    return ""


@pytest.fixture(scope="session")
def prometheus_tools() -> PrometheusTools:
    """Prometheus and its promtool. Mark the test with `prometheus`."""
    made = Path(__file__).resolve().parents[1] / "deploy" / "prometheus" / "bin"
    places = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{made}"
    found = {name: shutil.which(name, path=places) for name in ("prometheus", "promtool")}
    if not all(found.values()):
        missing("prometheus", "`make prometheus`, or put prometheus and promtool on the PATH")
    return PrometheusTools(*(Path(path) for path in found.values() if path))
