from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sla.bench import Bench


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    yield made
    made.stop()
