"""The mapping file: how to read an event log in CSV that nobody here has seen before.

The format is described for people in docs/guides/import.md.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from cli.importing.errors import BadMapping
from cli.importing.table import Layout
from cli.importing.times import UNITS_PER_SECOND
from libs.events import Channel, Priority, Status

DELIMITERS: Final = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
WORD_MAX: Final = 200
TEMPLATE_FIELDS: Final = frozenset({"case", "category", "subcategory", "group", "resource"})


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _many(value: Any) -> Any:
    return (value,) if isinstance(value, str | int) and not isinstance(value, bool) else value


def _text(value: Any) -> Any:
    """YAML reads 1 and true as numbers and truths; the cells of a log are text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


ColumnName = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
Columns = Annotated[tuple[ColumnName, ...], BeforeValidator(_many), Field(min_length=1)]
Strings = Annotated[tuple[str, ...], BeforeValidator(_many)]
Short = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=WORD_MAX)]
Cell = Annotated[str, BeforeValidator(_text)]


class FileFormat(Strict):
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    header: bool = True
    skip_lines: int = Field(0, ge=0)

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError as error:
            raise ValueError(f"no encoding is called {value!r}; try utf-8 or cp1252") from error
        return value

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str) -> str:
        value = DELIMITERS.get(value, value)
        if len(value) != 1:
            raise ValueError(f"one character, or one of {', '.join(DELIMITERS)}")
        return value

    @field_validator("quote", "escape")
    @classmethod
    def _quote(cls, value: str | None) -> str | None:
        value = None if value == "none" else value
        if value is not None and len(value) != 1:
            raise ValueError("one character, or none")
        return value

    def layout(self) -> Layout:
        return Layout(**self.model_dump())


class Joined(Strict):
    """One column, or several whose cells are joined."""

    column: Columns
    join: str = " / "


class TimeFormat(Strict):
    """`replace`: pieces of text replaced before reading, for names of months and the like."""

    column: Columns
    format: Annotated[Strings, Field(min_length=1)] = ("iso",)
    zone: str = "UTC"
    replace: dict[str, str] = Field(default_factory=dict)

    @field_validator("format")
    @classmethod
    def _formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if one != "iso" and one not in UNITS_PER_SECOND and "%" not in one:
                known = ", ".join(("iso", *UNITS_PER_SECOND))
                raise ValueError(f"{one!r} is none of {known}, nor a pattern like %d.%m.%Y %H:%M")
        return value

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"no time zone is called {value!r}; write one like Europe/Berlin"
            ) from error
        return value


class Actions(Strict):
    """What a word of the log does to the ticket. Empty (or the word `ignore`): nothing."""

    status: Status | None = None
    substatus: Short | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None
    assign: Literal["resource", "group", "both", "nobody"] | None = None
    priority: Priority | None = None
    category: Short | None = None
    subcategory: Short | None = None
    tag: Annotated[tuple[Short, ...], BeforeValidator(_many)] = ()
    untag: Annotated[tuple[Short, ...], BeforeValidator(_many)] = ()
    field: dict[Short, Cell] = Field(default_factory=dict)
    note: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    escalate: Literal[2, 3] | None = None

    @property
    def does_nothing(self) -> bool:
        return not self.model_fields_set

    @model_validator(mode="after")
    def _substatus_needs_status(self) -> Actions:
        if self.substatus is not None and self.status is None:
            raise ValueError("substatus needs a status beside it")
        return self


def _actions(value: Any) -> Any:
    """`closed`, `ignore`, `{status: closed, tag: x}` or `[{status: closed}, {tag: x}]`."""
    if isinstance(value, str):
        if value == "ignore":
            return {}
        if value not in tuple(Status):
            raise ValueError(
                f"{value!r} is not a status ({', '.join(Status)}), nor `ignore`, nor a list of "
                "actions"
            )
        return {"status": value}
    if isinstance(value, list):
        merged: dict[str, Any] = {}
        for part in value:
            if not isinstance(part, dict):
                raise ValueError(f"{part!r} is not an action such as `status: open`")  # noqa: TRY004
            twice = merged.keys() & part.keys()
            if twice:
                raise ValueError(f"{', '.join(sorted(twice))}: said twice for one word")
            merged |= part
        return merged
    return value


class Activity(Strict):
    """`words`: the log's words to our actions. `unknown`: what to do with any other word."""

    column: Columns
    join: str = " / "
    ignore_case: bool = False
    words: dict[Cell, Annotated[Actions, BeforeValidator(_actions)]]
    unknown: Literal["error", "count", "tag", "field", "note"] = "error"
    unknown_field: Short = "activity"


class Holder(Strict):
    """`means` holder: the cell names who holds the ticket after this row.
    actor: it names who did what the row says; only an activity with `assign` hands the ticket over.
    `empty`: what an empty cell says about the holder, if not the same as elsewhere."""

    column: Columns
    join: str = " / "
    means: Literal["holder", "actor"] = "holder"
    empty: Literal["keep", "clear"] | None = None


class Words(Strict):
    """A value that must be one of ours: from a column with a table of words, or a constant."""

    column: Columns | None = None
    join: str = " / "
    words: dict[Cell, str] = Field(default_factory=dict)
    unknown: Literal["error", "count"] = "error"
    default: str | None = None

    @model_validator(mode="after")
    def _something(self) -> Words:
        if self.column is None and self.default is None:
            raise ValueError("needs `column`, or `default` for a constant")
        return self


def _column(value: Any) -> Any:
    """A part that is only the name of a column (or a list of names) may be written as that."""
    return value if isinstance(value, dict) or value is None else {"column": value}


FromColumn: Final = BeforeValidator(_column)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, dict) else value


class PriorityWords(Words):
    words: dict[Cell, Priority] = Field(default_factory=dict)  # type: ignore[assignment]
    default: Priority | None = None


class ChannelWords(Words):
    words: dict[Cell, Channel] = Field(default_factory=dict)  # type: ignore[assignment]
    default: Channel | None = None


class FreeWords(Words):
    """Any word may stand here; `words` replaces some."""

    unknown: Literal["error", "count", "keep"] = "keep"  # type: ignore[assignment]


class RequesterColumns(Strict):
    column: Columns | None = None
    join: str = " / "
    default: Short = "unknown"
    name: ColumnName | None = None
    email: ColumnName | None = None
    phone: ColumnName | None = None
    organization: ColumnName | None = None


class MappingFile(Strict):
    """A whole mapping file. `name` names the source: part of all ids, and the actor `import:name`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    file: FileFormat = FileFormat()
    missing: tuple[Cell, ...] = ("",)
    empty: Literal["keep", "clear"] = "keep"
    case: Annotated[Joined, FromColumn]
    time: Annotated[TimeFormat, FromColumn]
    created: Annotated[TimeFormat | None, FromColumn] = None
    order: Literal["time", "file"] = "time"
    duplicates: Literal["drop", "keep"] = "drop"
    activity: Annotated[tuple[Activity, ...], BeforeValidator(_listed)] = ()
    resource: Annotated[Holder | None, FromColumn] = None
    group: Annotated[Holder | None, FromColumn] = None
    priority: Annotated[PriorityWords | None, FromColumn] = None
    category: Annotated[FreeWords | None, FromColumn] = None
    subcategory: Annotated[FreeWords | None, FromColumn] = None
    channel: Annotated[ChannelWords | None, FromColumn] = None
    language: Annotated[FreeWords | None, FromColumn] = None
    requester: Annotated[RequesterColumns, FromColumn] = RequesterColumns()
    subject: str = "{case}"
    description: ColumnName | None = None
    tags: tuple[Short, ...] = ()
    fields: dict[Short, ColumnName] = Field(default_factory=dict)
    constants: dict[Short, Cell] = Field(default_factory=dict)
    ignore: Annotated[tuple[ColumnName, ...], BeforeValidator(_many)] = ()

    @field_validator("subject")
    @classmethod
    def _template(cls, value: str) -> str:
        # The name of a field ends at a ':', so a column is only named by `fields`.
        for _, name, spec, conversion in Formatter().parse(value):
            if name is not None and (spec or conversion or not name.isidentifier()):
                raise ValueError(f"{{{name}}} is not a plain name in braces")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> MappingFile:
        allowed = TEMPLATE_FIELDS | set(self.fields) | set(self.constants)
        for _, name, _, _ in Formatter().parse(self.subject):
            if name is not None and name not in allowed:
                raise ValueError(f"subject: {{{name}}} is none of {', '.join(sorted(allowed))}")
        both = self.fields.keys() & self.constants.keys()
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: both in fields and in constants")
        for activity in self.activity:
            for word, actions in activity.words.items():
                wants = {actions.assign} if actions.assign else set()
                if wants & {"resource", "both"} and self.resource is None:
                    raise ValueError(f"activity {word!r}: assigns a resource, but none is mapped")
                if wants & {"group", "both"} and self.group is None:
                    raise ValueError(f"activity {word!r}: assigns a group, but none is mapped")
        return self

    def columns(self) -> Iterator[tuple[str, str]]:
        """Every column that is named, with the key that names it."""
        for key in ("case", "time", "created", "resource", "group"):
            part = getattr(self, key)
            for column in part.column if part is not None else ():
                yield column, key
        for activity in self.activity:
            for column in activity.column:
                yield column, "activity"
        for key in ("priority", "category", "subcategory", "channel", "language", "requester"):
            part = getattr(self, key)
            for column in (part.column or ()) if part is not None else ():
                yield column, key
        for key in ("name", "email", "phone", "organization"):
            column = getattr(self.requester, key)
            if column is not None:
                yield column, f"requester.{key}"
        if self.description is not None:
            yield self.description, "description"
        for field, column in self.fields.items():
            yield column, f"fields.{field}"
        for column in self.ignore:
            yield column, "ignore"


def read_mapping(path: Path) -> MappingFile:
    """Raises BadMapping, which says what is wrong with which key."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadMapping(f"{path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadMapping(f"{path}: not a YAML file: {error}") from error
    if not isinstance(content, Mapping):
        raise BadMapping(f"{path}: a mapping file consists of keys; see docs/guides/import.md")
    try:
        return MappingFile.model_validate(content)
    except ValidationError as error:
        raise BadMapping(_explain(path, error)) from error


def _explain(path: Path, error: ValidationError) -> str:
    lines = [f"{path}: the mapping has {error.error_count()} mistakes:"]
    for one in error.errors(include_url=False):
        place = ".".join(str(part) for part in one["loc"]) or "the file as a whole"
        message = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            message = "there is no such key"
        elif one["type"] == "missing":
            message = "this key is needed"
        lines.append(f"  {place}: {message}")
    return "\n".join(lines)
