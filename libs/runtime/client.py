"""Two habits of the Kafka client (aiokafka) that every process of ours changes before it uses it.

- It asks for topics so that a broker makes those that are missing, with that broker's own number of
  partitions. We make our topics ourselves (`libs.runtime.kafka.ensure_topics`); and the embedded
  broker, when many clients ask at once just after it has started again, makes a topic twice and then
  refuses for good what is written to it.
- It cannot read a record whose header has a name that is not UTF-8 (`libs.runtime.records`).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from aiokafka import client
from aiokafka.admin import client as admin
from aiokafka.protocol.metadata import MetadataRequest

from libs.runtime.records import read_any_header_name

_ASK_ONLY: Final = partial(MetadataRequest, allow_auto_topic_creation=False)


def prepare_client() -> None:
    """Change both, for all producers, consumers and admin clients of this process. Safe to repeat."""
    client.MetadataRequest = _ASK_ONLY
    admin.MetadataRequest = _ASK_ONLY
    read_any_header_name()
