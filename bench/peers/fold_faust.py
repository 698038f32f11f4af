"""faust-streaming: `python fold_faust.py PLAN.json` prints one JSON object. Needs faust-streaming and rocksdict.

State as its documentation has it: a table in RocksDB with a changelog topic, at least once.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import faust

PLAN = json.loads(Path(sys.argv[1]).read_text("utf-8"))
app = faust.App(
    PLAN["group"],
    broker=f"kafka://{PLAN['bootstrap']}",
    store="rocksdb://?driver=rocksdict",
    datadir=PLAN["directory"] + "/faust",
    topic_partitions=PLAN["partitions"],
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
)
topic = app.topic(PLAN["topic"], key_type=str, value_serializer="json")
table = app.Table("fold", key_type=str, partitions=PLAN["partitions"])
SEEN = {}
FIRST_S = []
DONE = []


@app.agent(topic)
async def fold(stream):
    count_all = 0
    async for event in stream.events():
        if not FIRST_S:
            FIRST_S.append(time.perf_counter())
        key = event.key
        count, status = table.get(key) or (0, "new")
        headers = event.headers
        pairs = headers.items() if hasattr(headers, "items") else headers
        name = next(content for title, content in pairs if title == "ce_type")
        if name == b"bitacora.StatusChanged.v1":
            status = event.value["status"]
        table[key] = SEEN[key] = [count + 1, status]
        count_all += 1
        if count_all == PLAN["events"]:
            DONE.append(True)


@app.task
async def finish():
    while not DONE:
        await app.sleep(0.02)
    await app.producer.flush()  # the changelog
    await app.consumer.commit()
    seconds = time.perf_counter() - FIRST_S[0]
    text = "".join(f"{key} {count} {status}\n" for key, (count, status) in sorted(SEEN.items()))
    events = sum(count for count, _ in SEEN.values())
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "events": events, "digest": digest}), flush=True)
    await app.stop()


if __name__ == "__main__":
    worker = faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()
