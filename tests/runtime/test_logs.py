"""Logs: one shape for all, and no personal data in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import BaseModel, ValidationError

from libs.runtime.logs import REDACTED, configure_logs, get_logger, without_echoes


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines_carry_service_level_logger_and_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("intake", "json")
    get_logger("some.module").info("ticket_created", sequence=1)
    logging.getLogger("other.library").warning("said %s", "this")
    ours, theirs = _lines(capsys)
    assert ours["event"] == "ticket_created"
    assert (ours["service"], ours["level"], ours["logger"]) == ("intake", "info", "some.module")
    assert ours["sequence"] == 1
    assert str(ours["timestamp"]).endswith("Z")
    assert (theirs["event"], theirs["service"]) == ("said this", "intake")


def test_personal_data_is_redacted_at_every_depth(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("intake", "json")
    get_logger("m").info(
        "x",
        email="ana@example.org",
        data={"subject": "secret", "list": [{"phone": "1"}], "fine": 1},
    )
    [line] = _lines(capsys)
    assert line["email"] == REDACTED
    assert line["data"] == {"subject": REDACTED, "list": [{"phone": REDACTED}], "fine": 1}


def test_errors_do_not_repeat_their_input(capsys: pytest.CaptureFixture[str]) -> None:
    class Ticket(BaseModel):
        number: int

    configure_logs("intake", "json")
    said = f"call {5_550_100}"
    try:
        Ticket.model_validate({"number": said})
    except ValidationError:
        get_logger("m").exception("bad")
    [line] = _lines(capsys)
    assert said not in str(line["exception"])
    assert "number" in str(line["exception"])
    statement = "boom [SQL: INSERT]\n[parameters: ('Ana', 'ana@example.org')]\n(more)"
    assert without_echoes(statement) == f"boom [SQL: INSERT]\n[parameters: {REDACTED}]\n(more)"


def test_pretty_tracebacks_do_not_show_local_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("intake", "pretty")
    try:
        hidden = "do not " + "show"
        raise RuntimeError(len(hidden))
    except RuntimeError:
        get_logger("m").exception("bad")
    text = capsys.readouterr().err
    assert "RuntimeError: 11" in text
    assert "do not show" not in text


def test_the_level_filters(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("intake", "json", "warning")
    get_logger("m").info("quiet")
    assert _lines(capsys) == []
