"""A rule set as a document of plain values, and what is wrong about one that is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from libs.events.routing import SkillNeed
from services.routing.domain.conditions import Condition
from services.routing.domain.rule_check import Finding
from services.routing.domain.rules import (
    Offers,
    Overflow,
    QueueRule,
    RoutingRules,
    SkillRule,
    TakeBack,
)

SHOWN_MAX: Final = 60


class InvalidRules(Exception):
    """This is no rule set. `findings` tell all that is wrong, each with the path to it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(
            "; ".join(f"{f.path}: {f.message}" if f.path else f.message for f in findings)
        )
        self.findings = list(findings)


def rules_of(document: Any) -> RoutingRules:
    """The rule set that a document describes. Raises InvalidRules, with all of its problems.

    What is wrong about rules that can be read is told by `rule_check.check`.
    """
    if not isinstance(document, dict):
        kind = "empty" if document is None else "no list of fields and values"
        message = f"the document is {kind}; {{}} stands for all defaults"
        raise InvalidRules([Finding("error", "not_a_document", "", message)])
    try:
        return RoutingRules.model_validate(document)
    except ValidationError as error:
        raise InvalidRules([_finding(problem) for problem in error.errors()]) from None


def document_of(rules: RoutingRules) -> dict[str, Any]:
    """The rule set as a document in plain JSON values, defaults included: `rules_of` reads it."""
    return rules.model_dump(mode="json")


_PARTS: Final[dict[str, type[BaseModel]]] = {
    "": RoutingRules,
    "skills[]": SkillRule,
    "queues[]": QueueRule,
    "queues[].overflow": Overflow,
    "queues[].skills[]": SkillNeed,
    "skills[].skills[]": SkillNeed,
    "skills[].when": Condition,
    "queues[].when": Condition,
    "offers": Offers,
    "take_back": TakeBack,
}
"""Which fields there are where, for the advice on one that is not."""


def _finding(problem: Any) -> Finding:
    location = tuple(problem["loc"])
    code, message = _told(problem["type"], problem.get("ctx") or {}, problem["input"], location)
    return Finding("error", code, path_of(location), message or problem["msg"])


def path_of(location: Sequence[str | int]) -> str:
    """`("queues", 2, "when")` → `queues[2].when`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return path


_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "missing": ("missing_field", "this field is needed"),
    "enum": ("unknown_value", "{shown} is not one of {expected}"),
    "literal_error": ("unknown_value", "{shown} is not one of {expected}"),
    "greater_than_equal": ("out_of_range", "{shown} is too small: at least {ge}"),
    "less_than_equal": ("out_of_range", "{shown} is too large: at most {le}"),
    "int_type": ("wrong_type", "{shown} is not a whole number"),
    "int_from_float": ("wrong_type", "{shown} is not a whole number"),
    "int_parsing": ("wrong_type", "{shown} is not a whole number"),
    "bool_type": ("wrong_type", "{shown} is neither true nor false"),
    "string_type": ("wrong_type", "{shown} is not a text; put it in quotes if it is meant as one"),
    "model_type": ("wrong_type", "{shown} stands where fields and values are needed"),
    "dict_type": ("wrong_type", "{shown} stands where fields and values are needed"),
    "tuple_type": ("wrong_type", "{shown} is not a list"),
    "too_long": ("too_long", "there are {actual_length}: at most {max_length}"),
    "too_short": ("too_short", "there are {actual_length}: at least {min_length}"),
    "string_too_long": ("too_long", "the text is too long: at most {max_length} characters"),
    "string_too_short": ("too_short", "the text must not be empty"),
    "value_error": ("invalid_value", "{error}"),
}
"""Pydantic's kinds of error → our code, and our words."""


def _told(
    kind: str, context: dict[str, Any], value: Any, location: tuple[str | int, ...]
) -> tuple[str, str]:
    """(code, message) for one of pydantic's errors; no message: its own words will do."""
    if kind == "extra_forbidden":
        return "unknown_field", _advice(location)
    code, message = _MESSAGES.get(kind, ("invalid_value", ""))
    return code, message.format(shown=_shown(value), **context)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def _advice(location: tuple[str | int, ...]) -> str:
    name = str(location[-1])
    holder = re.sub(r"\[\d+\]", "[]", path_of(location[:-1]))
    known = list(_PARTS[holder].model_fields) if holder in _PARTS else []
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the fields are {', '.join(known)}"
    return f"there is no field {name!r} here; {hint}"
