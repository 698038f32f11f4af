"""Saved reports in the database: versions, refusals, and writers at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from libs.runtime.errors import Rejected
from libs.runtime.store import ServiceStore
from services.reporting.views import VIEWS
from services.reporting.views.saved import (
    SAVED_REPORTS,
    Saved,
    delete_saved,
    get_saved,
    list_saved,
    put_saved,
)
from tests.reporting.house import open_store

QUESTION = {"metrics": ["created"], "last": "30d"}


def put(
    store: ServiceStore, name: str, question: dict[str, Any], expected: int | None = None
) -> tuple[Saved, bool]:
    done, _ = store.write_now(
        lambda c, _: put_saved(c, name, question, expected=expected, now_us=7, actor="agent:ana")
    )
    return done


def test_each_change_is_a_version_and_saying_the_same_is_none(database_url: str) -> None:
    with open_store(database_url) as store:
        assert put(store, "b", QUESTION) == (Saved("b", 1, QUESTION, 7, "agent:ana"), True)
        assert put(store, "b", QUESTION)[0].version == 1
        assert put(store, "b", {**QUESTION, "last": "7d"}, expected=1)[0].version == 2
        put(store, "ñ – о", QUESTION)
        with pytest.raises(Rejected, match="at version 2, not at 1") as stale:
            put(store, "b", QUESTION, expected=1)
        assert (stale.value.status, stale.value.code) == (412, "stale_version")
        with pytest.raises(Rejected, match="does not exist"):
            put(store, "new", QUESTION, expected=1)
        with store.database.reading() as connection:
            assert [saved.name for saved in list_saved(connection)] == ["b", "ñ – о"]
            assert get_saved(connection, "b").question["last"] == "7d"
        store.write_now(lambda c, _: delete_saved(c, "b", expected=2))
        with (
            store.database.reading() as connection,
            pytest.raises(Rejected, match="unknown_report"),
        ):
            get_saved(connection, "b")


def test_of_many_who_change_the_same_version_one_does(database_url: str) -> None:
    with open_store(database_url) as store:
        put(store, "r", QUESTION)

        def change(number: int) -> bool:
            try:
                put(store, "r", {**QUESTION, "last": f"{number}d"}, expected=1)
            except Rejected as refusal:
                return refusal.code != "stale_version"
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(change, range(1, 9))) == 1
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: put(store, "same", QUESTION)[1], range(8)))
        assert sum(made) == 1


def test_a_rebuild_leaves_them_alone() -> None:
    assert SAVED_REPORTS not in VIEWS
