"""quixstreams: `python fold_quix.py PLAN.json` prints one JSON object. Needs nothing but quixstreams.

State as its documentation has it: RocksDB in `state_dir`, with a changelog topic; checkpoints every
five seconds (the default), at least once.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

from quixstreams import Application


def main(plan):
    seen = {}
    first_s = []

    def fold(value, key, _timestamp, headers, state):
        if not first_s:
            first_s.append(time.perf_counter())
        found = state.get("fold") or [0, "new"]
        name = next(content for title, content in headers if title == "ce_type")
        found = [
            found[0] + 1,
            value["status"] if name == b"bitacora.StatusChanged.v1" else found[1],
        ]
        state.set("fold", found)
        seen[key] = found

    app = Application(
        broker_address=plan["bootstrap"],
        consumer_group=plan["group"],
        auto_offset_reset="earliest",
        state_dir=plan["directory"] + "/quix",
        loglevel="WARNING",
    )
    topic = app.topic(plan["topic"], key_deserializer="str", value_deserializer="json")
    frame = app.dataframe(topic)
    frame.update(fold, metadata=True, stateful=True)
    app.run(count=plan["events"], timeout=60, collect=False)
    seconds = time.perf_counter() - first_s[0]
    text = "".join(f"{key} {count} {status}\n" for key, (count, status) in sorted(seen.items()))
    events = sum(count for count, _ in seen.values())
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "events": events, "digest": digest}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
