"""Who looks: the pages that are open."""

from __future__ import annotations

from nicegui import Client


def count_open() -> int:
    """The pages that are open in a browser and connected to this process."""
    return sum(client.has_socket_connection for client in Client.instances.values())
