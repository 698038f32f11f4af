"""The texts of the pages, as gettext's tools find them, and what the catalogues make of them.

`python -m tests.reporting.messages` brings the catalogues up to date: new texts are in them with no
translation yet, those that are gone are out of them.
"""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from services.reporting.domain.dimensions import DIMENSIONS
from services.reporting.domain.metrics import METRICS
from services.reporting.page import i18n

PAGE: Final = Path(i18n.__file__).parent
METHODS: Final = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS: Final = {"**/templates/**.html": {"trimmed": "true", "newstyle_gettext": "true"}}
PLACEHOLDER: Final = re.compile(r"%\(\w+\)[sd]|\{\w*\}")

NOISE: Final = tuple(
    f'"{name}'
    for name in ("Project-", "Report-", "POT-", "PO-", "Last-", "Language-Team", "Generated-")
)
"""Lines of a catalogue's head that say nothing here and change by themselves."""


@cache
def texts() -> Catalog:
    """Every text of the code, of the templates and of the metrics' definitions."""
    found = Catalog()
    for _, _, message, comments, context in extract_from_dir(PAGE, METHODS, OPTIONS):
        found.add(message, context=context, auto_comments=comments)
    for metric in METRICS.values():
        for text in (metric.title, metric.formula, metric.edges):
            if text:
                found.add(text, context=f"metric {metric.name}")
    for dimension in DIMENSIONS.values():
        found.add(dimension.title)
    return found


@cache
def catalogue(language: str) -> Catalog:
    with (i18n.LOCALES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


def bring_up_to_date(language: str) -> int:
    """Write the catalogue anew; how many texts wait for a translation."""
    known = catalogue(language)
    known.update(texts(), no_fuzzy_matching=True)
    made = BytesIO()
    write_po(made, known, width=100, no_location=True, sort_output=True, ignore_obsolete=True)
    lines = made.getvalue().decode().strip().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(NOISE)]
    (i18n.LOCALES / f"{language}.po").write_text("".join(kept) + "\n", encoding="utf-8")
    return sum(1 for message in known if message.id and not translated(message))


def translated(message: Message) -> bool:
    """Whether every form of it has a text."""
    forms = [message.string] if isinstance(message.string, str) else list(message.string or ("",))
    return all(forms)


if __name__ == "__main__":
    for code in i18n.LANGUAGES:
        if code != "en":
            print(code, bring_up_to_date(code), "texts without a translation")  # noqa: T201
