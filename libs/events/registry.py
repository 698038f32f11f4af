"""Stable type names ↔ classes, and the upcasters that lift old versions to the present one.

Errors::

    ContractError
    ├── DuplicateType     two classes claim one name
    ├── UnknownType       no class is registered under this name
    └── InvalidData       the data does not fit the class
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

_NUL = b"\\u0000"
_NAME = re.compile(r"bitacora\.[A-Z][A-Za-z0-9]*\.v[1-9][0-9]*")

M = TypeVar("M", bound=BaseModel)
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class ContractError(Exception):
    """A contract of the published language was broken."""


class DuplicateType(ContractError):
    pass


class UnknownType(ContractError):
    pass


class InvalidData(ContractError):
    pass


class Registry:
    """One namespace of types; `REGISTRIES` lists those that there are."""

    def __init__(self) -> None:
        self._classes: dict[str, type[BaseModel]] = {}
        self._upcasters: dict[str, tuple[str, Upcaster]] = {}

    def register(self, name: str) -> Callable[[type[M]], type[M]]:
        """Class decorator: `@events.register("bitacora.TicketCreated.v1")`.

        Raises DuplicateType when the name is taken or the class already has a name, and ValueError
        when the name is not of the form `bitacora.<Name>.v<version>`.
        """
        _check(name)

        def claim(cls: type[M]) -> type[M]:
            if self.knows(name):
                raise DuplicateType(f"{name} is already registered")
            if cls in self._classes.values():
                raise DuplicateType(f"{cls.__name__} already has the name {cls.TYPE}")  # type: ignore[attr-defined]
            cls.TYPE = name  # type: ignore[attr-defined]
            self._classes[name] = cls
            return cls

        return claim

    def upcast(self, old: str, new: str) -> Callable[[Upcaster], Upcaster]:
        """Function decorator: lifts the data of `old` to the shape of `new` (which may itself be
        lifted further). Raises DuplicateType when `old` is still registered as a class, and
        ValueError when the names are not of the right form or the steps would go round."""
        _check(old)
        _check(new)

        def claim(function: Upcaster) -> Upcaster:
            if self.knows(old):
                raise DuplicateType(f"{old} is already registered")
            if self._target(new) == old:
                raise ValueError(f"{old} would be lifted to itself")
            self._upcasters[old] = (new, function)
            return function

        return claim

    def knows(self, name: str) -> bool:
        return name in self._classes or name in self._upcasters

    def decode(self, name: str, data: bytes) -> Any:
        """The object that `data` (JSON) describes, in the present version of its contract.

        Raises UnknownType or InvalidData, and nothing else, whatever the data is.
        """
        cls = self._classes.get(name)
        if cls is None and self._target(name) not in self._classes:
            raise UnknownType(f"no contract is registered for {name}")
        try:
            if _NUL in data and _has_nul(from_json(data)):
                raise InvalidData(
                    f"{name}: a text holds the character U+0000, which no database takes"
                )
            if cls is not None:
                return cls.model_validate_json(data)
            return self._lift(name, data)
        except InvalidData:
            raise
        except ValidationError as error:
            raise InvalidData(f"{name}: {_first(error)}") from error
        except (  # what our upcasters raise on data that never fitted the old version
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise InvalidData(f"{name}: {error}") from error

    def _lift(self, name: str, data: bytes) -> Any:
        values = from_json(data)
        if not isinstance(values, dict):
            raise InvalidData(f"{name}: the document is not a JSON object")
        while name in self._upcasters:
            name, lift = self._upcasters[name]
            values = lift(values)
        return self._classes[name].model_validate_json(to_json(values))

    def _target(self, name: str) -> str:
        """The version that `name` is lifted to in the end (itself when it is not lifted)."""
        while name in self._upcasters:
            name, _ = self._upcasters[name]
        return name

    def classes(self) -> Iterator[tuple[str, type[BaseModel]]]:
        """(type name, class) of every present version, by name."""
        yield from sorted(self._classes.items())

    def lifted(self) -> Iterator[tuple[str, type[BaseModel]]]:
        """(old type name, class of the version it is lifted to), by name."""
        for old in sorted(self._upcasters):
            yield old, self._classes[self._target(old)]


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not of the form bitacora.<Name>.v<version>")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{place}: {first['msg']}"


EVENTS = Registry()
COMMANDS = Registry()
AGENT_COMMANDS = Registry()
"""Apart from `COMMANDS`: what routing is asked for is nothing that intake would accept."""

REGISTRIES: Final[tuple[tuple[Literal["event", "command"], Registry], ...]] = (
    ("event", EVENTS),
    ("command", COMMANDS),
    ("command", AGENT_COMMANDS),
)
"""(kind, registry); no name is in two of them."""
