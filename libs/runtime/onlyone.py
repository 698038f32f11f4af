"""Exactly one process does something: an advisory lock on PostgreSQL, a locked file beside an SQLite
database. Both end with the process that holds them, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from libs.runtime.database import Database
from libs.runtime.errors import Failure, Transient

ASK_AGAIN_S = 0.2

StillOnly = Callable[[], Awaitable[None]]
"""Raises Transient when the lock was lost."""


async def nobody_else() -> None:
    """A lock that is never lost."""


@contextlib.asynccontextmanager
async def only_one(
    database: Database, name: str, *, refusal: Failure | None = None
) -> AsyncIterator[StillOnly]:
    """Held by one process per database and `name`; waits as long as another one holds it, or raises
    `refusal` then, if one is given.

    Raises Transient when the database cannot be reached.
    """
    if database.is_sqlite:
        path = Path(f"{database.url.database}.{name}.lock")
        with path.open("w") as file:  # noqa: ASYNC230 - opened once, empty
            while not _try_flock(file):
                await _again(refusal)
            yield nobody_else
        return
    lock = _AdvisoryLock(database.engine, crc32(name.encode()))
    try:
        while not await lock.ask():
            await _again(refusal)
        yield lock.check
    finally:
        await asyncio.shield(lock.release())


async def _again(refusal: Failure | None) -> None:
    if refusal is not None:
        raise refusal
    await asyncio.sleep(ASK_AGAIN_S)


class _AdvisoryLock:
    """A lock of PostgreSQL that lives as long as its connection, which nothing else uses.

    Every step runs in a thread of its own, one after the other: the event loop never waits for a
    database that does not answer. Raises Transient.
    """

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._key = key
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay-lock")

    async def ask(self) -> bool:
        """Take the lock if nobody has it."""
        return await self._run(f"SELECT pg_try_advisory_lock({self._key})")

    async def check(self) -> None:
        await self._run("SELECT true")

    async def release(self) -> None:
        """Give the lock back. A connection that does not answer has lost it already."""
        if self._connection is not None:
            with contextlib.suppress(Transient):
                await self._run(f"SELECT pg_advisory_unlock({self._key})")
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, query: str) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._execute, query)

    def _execute(self, query: str) -> bool:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return bool(self._connection.execute(text(query)).scalar())
        except SQLAlchemyError as error:
            raise Transient("relay_lock_lost", str(error)[:200]) from error

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None


def _try_flock(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
