"""bytewax: `python fold_bytewax.py PLAN.json` prints one JSON object. Needs nothing but bytewax[kafka].

State as its documentation has it: a recovery store on disk (SQLite), of which a snapshot is made at the end
of each epoch (ten seconds, the default) and at the end.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

SEEN = {}
FIRST_S = []


def keyed(message):
    if not FIRST_S:
        FIRST_S.append(time.perf_counter())
    name = next(content for title, content in message.headers if title == "ce_type")
    return message.key.decode(), (name, json.loads(message.value))


def fold(state, event):
    count, status = state or (0, "new")
    name, value = event
    state = (count + 1, value["status"] if name == b"bitacora.StatusChanged.v1" else status)
    return state, state


class _Keep(StatelessSinkPartition):
    def write_batch(self, items):
        SEEN.update(items)


class Keep(DynamicSink):
    def build(self, _step_id, _worker_index, _worker_count):
        return _Keep()


def main(plan):
    flow = Dataflow("fold")
    source = KafkaSource([plan["bootstrap"]], [plan["topic"]], tail=False)
    stream = op.input("in", flow, source)
    stream = op.map("key", stream, keyed)
    folded = op.stateful_map("fold", stream, fold)
    op.output("out", folded, Keep())
    home = Path(plan["directory"]) / "bytewax"
    home.mkdir()
    init_db_dir(home, 1)
    cluster_main(flow, [], 0, recovery_config=RecoveryConfig(home))
    seconds = time.perf_counter() - FIRST_S[0]
    text = "".join(f"{key} {count} {status}\n" for key, (count, status) in sorted(SEEN.items()))
    events = sum(count for count, _ in SEEN.values())
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "events": events, "digest": digest}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
