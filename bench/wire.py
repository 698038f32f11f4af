"""A small HTTP client: one kept connection, one request at a time, a tenth of a usual client's work.

A client that costs as much as the server would be what is measured on a machine with few cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

PATH: Final = "/v1/tickets"


class Connection(asyncio.Protocol):
    """Answers are taken to have a Content-Length, as those of the services and of FastAPI do."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.closed = False

    @staticmethod
    async def open(port: int) -> Connection:
        """A connection to 127.0.0.1:`port`. Raises OSError."""
        _, own = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        return own

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.split(b"\r\n", 1)[0]):
            return
        self._buffer = b""
        answer, self._answer = self._answer, None
        if not answer.done():
            answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server hung up"))

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Post a ticket; (status, body). Raises OSError when the connection breaks."""
        if self.closed:
            raise ConnectionError("the server hung up before")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (PATH.encode(), len(body), body)
        )
        return await self._answer

    def close(self) -> None:
        self._transport.close()


class Pool:
    """Connections that are opened as needed and used again while the server keeps them open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Connection] = []
        self.connections: list[Connection] = []

    async def post(self, body: bytes) -> tuple[int, bytes]:
        while self._free:
            connection = self._free.pop()
            if not connection.closed:
                break
        else:
            connection = await Connection.open(self._port)
            self.connections.append(connection)
        answer = await connection.post(body)
        self._free.append(connection)
        return answer

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@asynccontextmanager
async def pool(port: int) -> AsyncIterator[Pool]:
    """Connections to 127.0.0.1:`port`, all closed at the end."""
    own = Pool(port)
    try:
        yield own
    finally:
        own.close()
