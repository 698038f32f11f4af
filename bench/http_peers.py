"""What `http_create` stands beside: `python -m bench.http_peers bare|commit PORT DIRECTORY`.

The same request body, checked by the same pydantic model, answered with an id, on uvicorn with
uvloop and httptools, one worker: `bare` keeps nothing; `commit` inserts the body into SQLite and
commits (WAL, synchronous=FULL: on the disk) before it answers.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import uuid_utils
import uvicorn
from fastapi import FastAPI

from services.intake.bodies import NewTicket


def bare() -> FastAPI:
    app = FastAPI()

    @app.post("/v1/tickets", status_code=201)
    async def create(body: NewTicket) -> dict[str, str]:  # noqa: ARG001 - checked, and forgotten
        return {"id": str(uuid_utils.uuid7())}

    return app


def commit(file: Path) -> FastAPI:
    app = FastAPI()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE tickets (id TEXT PRIMARY KEY, body TEXT NOT NULL)")

    @app.post("/v1/tickets", status_code=201)
    async def create(body: NewTicket) -> dict[str, str]:
        own_id = str(uuid_utils.uuid7())
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO tickets VALUES (?, ?)", (own_id, body.model_dump_json()))
        connection.execute("COMMIT")
        return {"id": own_id}

    return app


def main(kind: str, port: str, directory: str) -> None:
    app = bare() if kind == "bare" else commit(Path(directory) / "peer.sqlite3")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_config=None, access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
