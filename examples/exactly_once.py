"""Consume, process, produce, exactly once: ``python exactly_once.py HOST:PORT`` (Apache Kafka).

The output and the offsets of the input count together or not at all. The embedded broker has no
transactions; without an address this shows what it says then.
"""

import sys
import tempfile
from contextlib import ExitStack

import mainstem as ms

with ExitStack() as stack:
    if len(sys.argv) > 1:
        stem = stack.enter_context(ms.connect(sys.argv[1]))
    else:
        stem = stack.enter_context(ms.open(stack.enter_context(tempfile.TemporaryDirectory())))

    stem.topic("words", create=True).append([b"log", b"stream", b"river"])
    lengths = stem.topic("lengths", create=True)
    try:
        transactions = stack.enter_context(stem.transactions("count-letters"))
    except ms.Invalid as error:
        sys.exit(print(error))

    consumer = stack.enter_context(
        stem.consumer("letters", "words", auto_commit=None, isolation="read_committed")
    )
    failures = 1
    while not consumer.assignment or any(consumer.lag().values()):
        batch = consumer.poll(1.0)
        if batch is None:
            continue
        try:
            with transactions.begin(consumer) as transaction:
                words = batch["value"].to_pylist()
                transaction.append("lengths", [f"{word.decode()} {len(word)}" for word in words])
                if failures:
                    failures -= 1
                    raise RuntimeError("something broke")
        except RuntimeError as error:
            print(f"{error}: aborted, the same words come again")

    print(f"committed in {consumer.committed()}")
    print(
        [
            row
            for part in lengths.read(isolation="read_committed")
            for row in part["value"].to_pylist()
        ]
    )
