"""Follow a channel over server-sent events, go away, come back with its cursor: nothing is missed.

Any reader of server-sent events does: a browser's `EventSource`, or, as here, the standard library.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pyarrow as pa

import mainstem as ms


@contextmanager
def node(directory: str) -> Iterator[dict[str, str]]:
    """`mainstem serve --live` in a process of its own; yields its addresses."""
    command = [sys.executable, "-m", "mainstem", "serve", "--data", directory]
    addresses = ["--kafka", "127.0.0.1:0", "--http", "none", "--live", "127.0.0.1:0"]
    with subprocess.Popen([*command, *addresses], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        yield dict(word.split("=", 1) for word in ready[1:])
        process.terminate()


def follow(url: str, cursor: str = "") -> Generator[tuple[str, dict[str, Any]]]:
    """Cursor and event of all that comes. `Last-Event-ID` is what a browser sends by itself."""
    with urlopen(Request(url, headers={"Last-Event-ID": cursor} if cursor else {})) as stream:
        block: dict[str, str] = {}
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                block[name] = value
                continue
            if "data" in block and "event" not in block:  # a block that is no word about the stream
                yield block["id"], json.loads(block["data"])
            block = {}


with tempfile.TemporaryDirectory() as directory, node(directory) as at:
    channel = f"http://{at['live']}/live/comments:42"
    url = f"http://{at['live']}/live?channel=comments:42&from=earliest"

    urlopen(Request(channel, json.dumps({"text": "posted by a page"}).encode())).close()
    stream = follow(url)
    cursor, event = next(stream)
    print("heard:", event["data"]["text"], "at offset", event["offset"])
    stream.close()

    # Whatever any Kafka producer writes is told as well: the record's key is the channel's id.
    with ms.connect(at["kafka"]) as stem:
        texts = [json.dumps({"text": f"missed {n}"}).encode() for n in range(3)]
        stem.topic("live.comments").append(pa.table({"_key": [b"42"] * 3, "value": texts}))

    again = follow(url, cursor)
    for _ in range(3):
        cursor, event = next(again)
        print("heard:", event["data"]["text"], "at offset", event["offset"])
    again.close()
