"""A service's HTTP side listening in this process, for commands that ask it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import uvicorn

from libs.runtime.service import Service

START_S = 20


@contextmanager
def served(service: Service) -> Iterator[None]:
    """`service` answers on its port, without Kafka, until the end of the block."""
    service._create()
    port = service.settings.http_port
    config = uvicorn.Config(service.http, port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline_s = monotonic() + START_S
        while not server.started:
            assert thread.is_alive()
            assert monotonic() < deadline_s
            thread.join(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(START_S)
        service.store.close()
