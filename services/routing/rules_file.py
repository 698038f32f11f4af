"""A rule set as people write it: a text in YAML, or JSON."""

from __future__ import annotations

from typing import Any

import yaml

from libs.runtime.errors import Poison
from libs.runtime.strict_json import strict_json
from libs.runtime.strict_yaml import SIZE_MAX_BYTES, strict_yaml
from services.routing.domain.rule_check import Finding
from services.routing.domain.rule_text import InvalidRules, rules_of
from services.routing.domain.rules import RoutingRules


def parse_rules(text: bytes) -> RoutingRules:
    """The rule set that `text` describes: JSON when it begins with a brace, otherwise YAML.

    Raises InvalidRules, with every problem of the document at once.
    """
    if len(text) > SIZE_MAX_BYTES:
        message = f"the document has more than {SIZE_MAX_BYTES:,} bytes"
        raise InvalidRules([Finding("error", "too_large", "", message)])
    try:
        document = (strict_json if text.lstrip().startswith(b"{") else strict_yaml)(text)
    except Poison as error:
        raise InvalidRules([Finding("error", error.code, "", error.detail)]) from None
    return rules_of(document)


def rules_text(document: dict[str, Any]) -> str:
    """A rule set's document as YAML that `parse_rules` reads."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
