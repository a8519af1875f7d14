"""Administration, against any Kafka cluster: ``python any_cluster.py HOST:PORT``.

Without an address it starts a log of its own, which any Kafka client could use meanwhile.
"""

import sys
import tempfile
from contextlib import ExitStack

import mainstem as ms

with ExitStack() as stack:
    if len(sys.argv) > 1:
        stem = stack.enter_context(ms.connect(sys.argv[1]))
    else:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        stem = stack.enter_context(ms.open(directory))

    name = "example-orders"
    orders = stem.create_topic(name, 2, config={"retention.ms": 86_400_000})
    orders.append([f"order {n}" for n in range(10)], partition=1)

    for part in orders.describe().partitions:
        print(f"partition {part.index}: offsets {part.start} to {part.end}")

    print(f"new leaders: {stem.placement.elect_leaders(name)}")  # none where the preferred lead

    stem.commit("billing", {(name, 1): 4})
    print(f"billing is {stem.describe_group('billing').lag} behind")
    print(f"moved to {stem.reset_group('billing', name, 'latest')}")

    try:
        stem.topic("example-order")
    except ms.Invalid as error:
        print(error)

    stem.delete_group("billing")
    stem.delete_topic(name)
