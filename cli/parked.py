"""`bitacora parked`: what the services could not apply, and another try.

It reads the services' databases, so it works on a stopped system too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from cli.output import (
    DEFAULT_DATA_DIR,
    CommandError,
    DataDir,
    JsonFlag,
    UsageError,
    print_facts,
    print_json,
    print_table,
    say,
)
from cli.system import database_url
from libs.runtime.database import Database
from libs.runtime.parking import PARKED, Parked, get_parked, list_parked, request_redrive
from libs.runtime.runstate import read_run
from libs.runtime.settings import SERVICES

app = typer.Typer(
    help="Messages that a service could not apply: list, show, redrive.",
    no_args_is_help=True,
    add_completion=False,
)

DETAIL_MAX: Final = 70

Service = Annotated[str | None, typer.Option(help=f"Only of this service: {', '.join(SERVICES)}.")]


@app.command("list")
def list_all(
    *,
    service: Service = None,
    stream: Annotated[str | None, typer.Option(help="Only of this stream (ticket id).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many per service.")] = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """List parked messages, oldest first."""
    found: list[tuple[str, Parked]] = []
    for name in _services(service):
        with _database(name, data_dir) as database:
            if database is None:
                continue
            with database.reading() as connection:
                rows = list_parked(connection, limit=limit, stream_id=stream)
            found += [(name, row) for row in rows]
    if json:
        print_json({"parked": [_as_json(name, row) for name, row in found]})
        return
    if not found:
        say("nothing is parked")
        return
    columns = ["message", "parked at", "from", "stream", "#seq", "#tries", "code", "detail"]
    print_table(columns, [_row(name, row) for name, row in found])


@app.command()
def show(
    message: Annotated[str, typer.Argument(help="As listed: SERVICE:ID.")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Show one parked message with its headers and its value."""
    name, parked_id = _place(message)
    with _database(name, data_dir) as database:
        row = None
        if database is not None:
            with database.reading() as connection:
                row = get_parked(connection, parked_id)
    if row is None:
        raise CommandError(f"nothing is parked as {message}")
    if json:
        print_json(_as_json(name, row))
        return
    facts: list[tuple[str, object]] = [
        ("message", message),
        ("from", f"{row.topic} partition {row.partition} offset {row.offset}"),
        ("stream", row.stream_id),
        ("sequence", row.sequence),
        ("parked at", row.parked_at),
        ("tries", row.attempts),
        ("code", row.code),
        ("detail", row.detail),
        ("redrive asked", "yes" if row.redrive else "no"),
        ("key", _text(row.key)),
        *((f"  {header}", _text(value)) for header, value in row.headers),
        ("value", _text(row.value)),
    ]
    print_facts(facts)


@app.command()
def redrive(
    messages: Annotated[
        list[str] | None, typer.Argument(help="As listed: SERVICE:ID, several.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that is parked.")] = False,
    service: Service = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: JsonFlag = False,
) -> None:
    """Ask the services to try parked messages again, in the order of their streams."""
    if bool(messages) == everything:
        raise UsageError("name messages (SERVICE:ID), or give --all")
    wanted: dict[str, list[int] | None] = {}
    if everything:
        wanted = dict.fromkeys(_services(service))
    for message in messages or ():
        name, parked_id = _place(message)
        ids = wanted.setdefault(name, [])
        if ids is not None:
            ids.append(parked_id)
    asked = {name: _ask(name, ids, data_dir) for name, ids in wanted.items()}
    running = read_run(data_dir) is not None
    if json:
        print_json({"asked": asked, "running": running})
    total = sum(asked.values())
    say(f"{total} to be tried again" + ("" if running else ", as soon as the services run"))
    if total == 0 and messages:
        raise CommandError("none of these is parked")


def _ask(name: str, ids: list[int] | None, data_dir: Path) -> int:
    with _database(name, data_dir) as database:
        if database is None:
            return 0
        with database.transaction() as connection:
            return request_redrive(connection, ids)


@contextmanager
def _database(service: str, data_dir: Path) -> Iterator[Database | None]:
    """The service's database; None when it has none yet, or nothing can be parked in it."""
    url = database_url(service, data_dir)
    file = make_url(url).database if url.startswith("sqlite") else None
    if file is not None and not Path(file).exists():
        yield None
        return
    database = Database(url, pool_size=1)
    try:
        with database.reading() as connection:
            known = inspect(connection).has_table(PARKED.name)
        yield database if known else None
    finally:
        database.close()


def _services(service: str | None) -> tuple[str, ...]:
    if service is None:
        return SERVICES
    if service not in SERVICES:
        raise UsageError(f"there is no service {service!r}; there are {', '.join(SERVICES)}")
    return (service,)


def _place(message: str) -> tuple[str, int]:
    name, _, number = message.partition(":")
    if name not in SERVICES or not (number.isascii() and number.isdigit()):
        raise UsageError(f"{message!r} is not of the form SERVICE:ID, such as routing:12")
    return name, int(number)


def _row(name: str, row: Parked) -> list[object]:
    detail = row.detail if len(row.detail) <= DETAIL_MAX else f"{row.detail[: DETAIL_MAX - 1]}…"
    return [
        f"{name}:{row.id}",
        row.parked_at,
        f"{row.topic}:{row.partition}:{row.offset}",
        row.stream_id,
        row.sequence,
        row.attempts,
        row.code,
        detail,
    ]


def _as_json(name: str, row: Parked) -> dict[str, Any]:
    """Bytes as text where they are UTF-8, else as `{"base64": …}`."""
    return {
        "message": f"{name}:{row.id}",
        "service": name,
        **asdict(row),
        "key": _json_bytes(row.key),
        "value": _json_bytes(row.value),
        "headers": [[header, _json_bytes(value)] for header, value in row.headers],
    }


def _json_bytes(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _text(value: bytes | None) -> str:
    if value is None:
        return "(null)"
    text = _json_bytes(value)
    return (
        text if isinstance(text, str) else f"(not UTF-8, base64) {text['base64'] if text else ''}"
    )
