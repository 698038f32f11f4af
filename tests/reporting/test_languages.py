"""The languages of the pages: every text is there in each of them, with its placeholders."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from services.reporting.page.i18n import (
    LANGUAGES,
    Reader,
    chosen_language,
    gettext,
    ngettext,
    reading,
)
from services.reporting.page.parts import duration, moment, number, percent
from tests.reporting.messages import PAGE, catalogue, placeholders, texts, translated

OTHERS = [language for language in LANGUAGES if language != "en"]
MARKS = frozenset(("_", "N_", "gettext", "ngettext", "pgettext"))


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_and_keeps_its_placeholders(language: str) -> None:
    known = catalogue(language)
    for text in texts():
        if not text.id:
            continue
        singular = text.id if isinstance(text.id, str) else text.id[0]
        found = known.get(singular, text.context)
        where = f"{text.context or ''} {singular!r}: python -m tests.reporting.messages"
        assert found, where
        assert translated(found), where
        assert not found.fuzzy, where
        assert isinstance(found.string, str) == isinstance(text.id, str), where
        forms = [found.string] if isinstance(found.string, str) else found.string or ()
        for form in forms:
            assert placeholders(form) == placeholders(singular), where


@pytest.mark.parametrize("language", OTHERS)
def test_no_catalogue_keeps_what_nobody_says(language: str) -> None:
    said = {(text.context, str(text.id)) for text in texts()}
    assert {(text.context, str(text.id)) for text in catalogue(language)} <= said | {(None, "")}


def marked() -> Iterator[tuple[str, str]]:
    """(file, text) of every marked literal, also where gettext's tools do not look: in f-strings."""
    for file in sorted(PAGE.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in MARKS
            ):
                for argument in node.args[node.func.id == "pgettext" :]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield file.name, argument.value
                        break


def test_the_tools_find_every_text_that_the_code_marks() -> None:
    found = {text.id if isinstance(text.id, str) else text.id[0] for text in texts()}
    for file, text in marked():
        assert text in found, f"{file}: {text!r} stands inside an f-string"


def test_numbers_times_and_plurals_follow_the_reader() -> None:
    shown = {}
    for language in LANGUAGES:
        with reading(Reader(language, ZoneInfo("Europe/Madrid"))):
            events = [
                ngettext("{n} event applied", "{n} events applied", n).format(n=n)
                for n in (1, 3, 5, 21)
            ]
            shown[language] = (number(12345), percent(0.954), duration(187_200), events)
            assert moment("2016-02-29T01:16:00Z") == "2016-02-29 02:16"
            assert moment("9999-12-31T23:59:59Z") == "9999-12-31 23:59"
    assert shown["en"][:3] == ("12,345", "95.4\u00a0%", "2.2\u00a0days")
    assert shown["es"][:3] == ("12.345", "95,4\u00a0%", "2,2\u00a0días")
    assert shown["ru"][:3] == ("12\u00a0345", "95,4\u00a0%", "2,2\u00a0дн.")
    russian = ["применено 1 событие", "применено 3 события", "применено 5 событий"]
    assert shown["ru"][3] == [*russian, "применено 21 событие"]
    assert (number(1234), percent(None), duration(None)) == ("1,234", "–", "–")


@pytest.mark.parametrize(
    ("parameters", "cookies", "accepted", "language"),
    [
        ({"lang": "es"}, {"lang": "ru"}, "en", "es"),
        ({}, {"lang": "ru"}, "es", "ru"),
        ({"lang": "xx"}, {"lang": "%00"}, "es-MX,es;q=0.9,en;q=0.8", "es"),
        ({}, {}, "de-DE,en;q=0.5,ru;q=0.7", "ru"),
        ({}, {}, "de;q=x,,;q=,es;q=0", "en"),
        ({}, {}, "", "en"),
    ],
)
def test_the_language_is_asked_for_kept_or_the_browsers(
    parameters: dict[str, str], cookies: dict[str, str], accepted: str, language: str
) -> None:
    assert chosen_language(parameters, cookies, accepted) == language


def test_a_text_that_is_not_known_stays_as_it_is() -> None:
    with reading(Reader("ru")):
        assert gettext("A category of the desk") == "A category of the desk"
