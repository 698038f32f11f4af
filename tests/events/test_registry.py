from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from libs.events import (
    AGENT_COMMANDS,
    COMMANDS,
    EVENTS,
    DuplicateType,
    Event,
    InvalidData,
    Registry,
    UnknownType,
)
from libs.events.registry import REGISTRIES


class Rated(Event):
    """The third version of a made-up event: a rating out of ten, by somebody."""

    score: int
    by: str = "nobody"


@pytest.fixture
def registry() -> Registry:
    """Version 1 had `stars` out of five, version 2 `points` out of ten, version 3 calls it score."""
    own = Registry()

    class Fresh(Rated):
        pass

    own.register("bitacora.Rated.v3")(Fresh)

    @own.upcast("bitacora.Rated.v2", "bitacora.Rated.v3")
    def rename(data: dict[str, Any]) -> dict[str, Any]:
        return {"score": data["points"], "by": data.get("by", "nobody")}

    @own.upcast("bitacora.Rated.v1", "bitacora.Rated.v2")
    def double(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "points": data["stars"] * 2}

    return own


@pytest.mark.parametrize(
    ("version", "data", "score"),
    [("v3", b'{"score":8}', 8), ("v2", b'{"points":8}', 8), ("v1", b'{"stars":4}', 8)],
)
def test_old_versions_are_lifted_step_by_step(
    registry: Registry, version: str, data: bytes, score: int
) -> None:
    lifted = registry.decode(f"bitacora.Rated.{version}", data)
    assert (lifted.score, lifted.by, lifted.TYPE) == (score, "nobody", "bitacora.Rated.v3")


def test_lifting_keeps_the_other_fields(registry: Registry) -> None:
    assert registry.decode("bitacora.Rated.v1", b'{"stars":1,"by":"c-1"}').by == "c-1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"stars"',
        b"{}",
        b'{"stars":null}',
        b'{"stars":{}}',
        b'{"stars":[]}',
        b'{"stars":"\\u0000"}',
        b"\xff",
        b"[" * 10_000,
    ],
)
def test_bad_data_of_an_old_version_is_invalid_data(registry: Registry, data: bytes) -> None:
    with pytest.raises(InvalidData, match=r"bitacora\.Rated\.v1"):
        registry.decode("bitacora.Rated.v1", data)


def test_what_nobody_registered_is_unknown(registry: Registry) -> None:
    assert not registry.knows("bitacora.Rated.v4")
    with pytest.raises(UnknownType):
        registry.decode("bitacora.Rated.v4", b"{}")


def test_a_step_to_a_version_that_is_not_registered_is_unknown() -> None:
    own = Registry()
    own.upcast("bitacora.Rated.v1", "bitacora.Rated.v2")(dict)
    with pytest.raises(UnknownType):
        own.decode("bitacora.Rated.v1", b"{}")


def test_it_lists_what_it_reads(registry: Registry) -> None:
    (name, cls), *rest = registry.classes()
    assert (name, rest) == ("bitacora.Rated.v3", [])
    assert list(registry.lifted()) == [("bitacora.Rated.v1", cls), ("bitacora.Rated.v2", cls)]
    assert all(registry.knows(f"bitacora.Rated.v{n}") for n in (1, 2, 3))


def test_a_name_is_given_once(registry: Registry) -> None:
    class Other(Event):
        pass

    for taken in ("v1", "v2", "v3"):
        with pytest.raises(DuplicateType, match="already registered"):
            registry.register(f"bitacora.Rated.{taken}")(Other)
        with pytest.raises(DuplicateType, match="already registered"):
            registry.upcast(f"bitacora.Rated.{taken}", "bitacora.Rated.v9")(dict)


def test_a_class_has_one_name() -> None:
    class Twice(Event):
        pass

    own = Registry()
    own.register("bitacora.Once.v1")(Twice)
    with pytest.raises(DuplicateType, match=r"already has the name bitacora\.Once\.v1"):
        own.register("bitacora.Twice.v1")(Twice)


def test_steps_never_go_round(registry: Registry) -> None:
    own = Registry()
    own.upcast("bitacora.A.v1", "bitacora.A.v2")(dict)
    own.upcast("bitacora.A.v2", "bitacora.A.v3")(dict)
    with pytest.raises(ValueError, match="lifted to itself"):
        own.upcast("bitacora.A.v3", "bitacora.A.v1")(dict)
    with pytest.raises(ValueError, match="lifted to itself"):
        own.upcast("bitacora.B.v1", "bitacora.B.v1")(dict)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Rated",
        "Rated.v1",
        "bitacora.rated.v1",
        "bitacora.Rated",
        "bitacora.Rated.v0",
        "bitacora.Rated.v01",
        "bitacora.Rated.v1\n",
        "bitacora.Ra ted.v1",
        "bitacora.Rated.v1.v2",
        "libs.events.Rated.v1",
    ],
)
def test_names_have_one_form(name: str) -> None:
    with pytest.raises(ValueError, match="is not of the form"):
        Registry().register(name)
    with pytest.raises(ValueError, match="is not of the form"):
        Registry().upcast(name, "bitacora.Rated.v2")
    with pytest.raises(ValueError, match="is not of the form"):
        Registry().upcast("bitacora.Rated.v1", name)


def test_no_name_is_in_two_registries() -> None:
    names = Counter(name for _, registry in REGISTRIES for name, _ in registry.classes())
    assert set(names.values()) == {1}


@pytest.mark.parametrize(
    "registry_", [EVENTS, COMMANDS, AGENT_COMMANDS], ids=["events", "commands", "agent commands"]
)
def test_classes_are_named_like_their_types_and_frozen(registry_: Registry) -> None:
    for name, cls in registry_.classes():
        assert re.fullmatch(rf"bitacora\.{cls.__name__}\.v\d+", name)
        assert cls.model_config["frozen"] is True
        assert cls.model_config["extra"] == ("ignore" if registry_ is EVENTS else "forbid")
