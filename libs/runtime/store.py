"""The store of a service: its database, its outbox, and one thread that writes.

All of a service's changes go through `write`: state and what it says are one transaction. The relay
is woken after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, MetaData

from libs.runtime.clock import Clock
from libs.runtime.database import Database
from libs.runtime.outbox import Outbox, Outgoing

T = TypeVar("T")


class ServiceStore:
    """`metadata` holds the service's own tables; the outbox's are added to it."""

    def __init__(
        self, database: Database, metadata: MetaData, *, source: str, clock: Clock
    ) -> None:
        self.database = database
        self.metadata = metadata
        self.clock = clock
        self.outbox = Outbox(metadata, source, clock)
        self._listeners: list[asyncio.Event] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="reader")

    def create_tables(self) -> None:
        self.database.create(self.metadata)

    def write_now(self, change: Callable[[Connection, Outgoing], T]) -> tuple[T, int]:
        """Run `change` in one transaction, in this thread. Returns its answer and the number of
        messages that a relay now has to send. Raises whatever `change` raises (nothing is written then), and
        Transient when the database is not available."""
        with self.database.transaction() as connection:
            outgoing = self.outbox.open()
            answer = change(connection, outgoing)
            said = self.outbox.flush(connection, outgoing) + outgoing.appended
        return answer, said

    async def write(self, change: Callable[[Connection, Outgoing], T]) -> T:
        """`write_now` in the writer thread; wakes the relay."""
        loop = asyncio.get_running_loop()
        answer, said = await loop.run_in_executor(self._writer, self.write_now, change)
        if said:
            for listener in self._listeners:
                listener.set()
        return answer

    def listen(self) -> asyncio.Event:
        """An event that is set after each commit that gives a relay something to send."""
        listener = asyncio.Event()
        self._listeners.append(listener)
        return listener

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run `query` on one consistent snapshot, in a reader thread."""

        def run() -> T:
            with self.database.reading() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self.database.close()
