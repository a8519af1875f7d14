"""Publishes one event after the other at a steady rate: ``python -m benchmarks.live.publisher``.

``URL RATE SECONDS BYTES START``: the first event has ``seq`` START. ``http://…`` is posted to, one
request after the other, as order matters; an answer that is late delays the next event, and the
schedule is not made up for. ``kafka://HOST:PORT/TOPIC/KEY`` is written to by confluent-kafka with
acks=all. What was really published is printed as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

Publish = Callable[[str], None]


def _posting(parts: SplitResult) -> Publish:
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.connect()

    def publish(body: str) -> None:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{parts.geturl()} answered {answer.status}: {text[:200]!r}")

    return publish


def _producing(parts: SplitResult) -> tuple[Publish, Callable[[], None]]:
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": parts.netloc,
            "acks": "all",
            "linger.ms": 1,
            "partitioner": "murmur2_random",
        }
    )
    _, topic, key = parts.path.split("/")

    def publish(body: str) -> None:
        producer.produce(topic, body, key)
        producer.poll(0)

    def finish() -> None:
        if producer.flush(60):
            raise SystemExit(f"{parts.geturl()}: not everything was acknowledged")

    return publish, finish


def _nothing() -> None:
    pass


def main() -> None:
    url, rate, seconds, size, start = sys.argv[1:]
    parts = urlsplit(url)
    finish = _nothing
    if parts.scheme == "kafka":
        publish, finish = _producing(parts)
    else:
        publish = _posting(parts)
    gap = 1 / float(rate)
    began = due = time.perf_counter()
    seq = int(start)
    while due < began + float(seconds):
        time.sleep(max(0.0, due - time.perf_counter()))
        body = f'{{"sent":{time.time_ns() // 1000},"seq":{seq},"x":"'.ljust(int(size) - 2, "y")
        publish(body + '"}')
        seq += 1
        due = max(due + gap, time.perf_counter() - gap)
    finish()
    taken = time.perf_counter() - began
    print(json.dumps({"posted": seq - int(start), "seconds": taken, "next": seq}))


if __name__ == "__main__":
    main()
