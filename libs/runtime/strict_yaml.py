"""YAML as strictly as a file that people write should be read.

Only the plain part: no anchors, no tags, no key twice, one document. And words are words: `no` is
Norwegian, not "false"; `2024-01-01`, `1:30` and `.inf` are texts, as they are to their writer. Only
`true`, `false`, `null` (or `~`, or nothing), whole numbers and decimal fractions are more than text.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from libs.runtime.errors import Poison

DEPTH_MAX: Final = 50
DIGITS_MAX: Final = 18
SIZE_MAX_BYTES: Final = 1_048_576
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def strict_yaml(text: bytes) -> Any:
    """The value that `text` holds. Raises Poison with one of the codes `too_large`, `invalid_utf8`,
    `invalid_yaml`; the detail tells the line and column."""
    if len(text) > SIZE_MAX_BYTES:
        raise Poison("too_large", f"there are more than {SIZE_MAX_BYTES:,} bytes")
    try:
        return yaml.load(text.decode("utf-8-sig"), _Loader)  # noqa: S506 - made of the safe one
    except UnicodeDecodeError as error:
        raise Poison("invalid_utf8", f"not UTF-8 at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise Poison("invalid_yaml", f"{where}{said}") from None
    except yaml.YAMLError as error:
        raise Poison("invalid_yaml", " ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise _refused(event, "anchors and aliases (& and *) are not read; write it out")
        if event.tag:
            raise _refused(event, f"tags such as {event.tag!r} are not read")
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _refused(event, f"nested more than {DEPTH_MAX} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if _UNSTORABLE.search(value):
            raise _refused(node, "this text holds a character that cannot be stored")
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for name_node, value in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise _refused(name_node, "the name of a field must be a word")
            # Whatever else the word might mean: it is the name of a field.
            name = self.construct_scalar(name_node)
            if name in found:
                raise _refused(name_node, f"the key {name[:100]!r} is there twice")
            found[name] = self.construct_object(value, deep=deep)
        return found


def _map(loader: _Loader, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


def _refused(at: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:map", _map)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~"),
    ("int", rf"[-+]?(?:0|[1-9][0-9]{{0,{DIGITS_MAX - 1}}})", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}", "-+0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"^(?:{_pattern})$"),
        [*_first, *([""] if _tag == "null" else [])],
    )
