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
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

_NAME = re.compile(r"^bitacora\.[A-Z][A-Za-z]+\.v[1-9][0-9]*$")

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
    """One namespace of types (there is one for events and one for commands)."""

    def __init__(self) -> None:
        self._classes: dict[str, type[BaseModel]] = {}
        self._upcasters: dict[str, tuple[str, Upcaster]] = {}

    def register(self, name: str) -> Callable[[type[M]], type[M]]:
        """Class decorator: `@events.register("bitacora.TicketCreated.v1")`.

        Raises DuplicateType when the name is taken, and ValueError when it is not of the form
        `bitacora.<Name>.v<version>`.
        """
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is not of the form bitacora.<Name>.v<version>")

        def claim(cls: type[M]) -> type[M]:
            if name in self._classes or name in self._upcasters:
                raise DuplicateType(f"{name} is already registered")
            cls.TYPE = name  # type: ignore[attr-defined]
            self._classes[name] = cls
            return cls

        return claim

    def upcast(self, old: str, new: str) -> Callable[[Upcaster], Upcaster]:
        """Function decorator: lifts the data of `old` to the shape of `new` (which may itself be
        lifted further). Raises DuplicateType when `old` is still registered as a class."""

        def claim(function: Upcaster) -> Upcaster:
            if old in self._classes or old in self._upcasters:
                raise DuplicateType(f"{old} is already registered")
            self._upcasters[old] = (new, function)
            return function

        return claim

    def knows(self, name: str) -> bool:
        return name in self._classes or name in self._upcasters

    def decode(self, name: str, data: bytes) -> Any:
        """The object that `data` (JSON) describes. Raises UnknownType or InvalidData."""
        cls = self._classes.get(name)
        try:
            if cls is not None:
                return cls.model_validate_json(data)
            if name not in self._upcasters:
                raise UnknownType(f"no contract is registered for {name}")
            values = from_json(data)
            while name in self._upcasters:
                name, lift = self._upcasters[name]
                values = lift(values)
            return self._classes[name].model_validate_json(to_json(values))
        except ValidationError as error:
            raise InvalidData(f"{name}: {_first(error)}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidData(f"{name}: {error}") from error

    def classes(self) -> Iterator[tuple[str, type[BaseModel]]]:
        yield from sorted(self._classes.items())


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{place}: {first['msg']}"


EVENTS = Registry()
COMMANDS = Registry()
