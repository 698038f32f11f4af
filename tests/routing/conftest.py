from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.routing.house import House


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """A routing desk with nobody at it."""
    house = House(database_url)
    yield house
    house.close()
