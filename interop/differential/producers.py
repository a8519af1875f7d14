"""Idempotent producers: sequences, epochs, ids, duplicates."""

from __future__ import annotations

from typing import Any

from interop.differential.requests import NOW_MS, batch, create, list_offsets, produce
from interop.differential.site import Site

LAST = 2**31 - 1


def sequences(site: Site) -> None:
    create(site, "sequences")
    site.quietly(22, producer_id=-1, producer_epoch=-1)

    def send(label: str, *values: bytes, **fields: int) -> None:
        given: dict[str, int] = {"producer_id": 4_000, "producer_epoch": 0, **fields}
        produce(site, label, "sequences", batch(*values, **given))

    for i in range(7):
        send(f"first run {i}", b"a", base_sequence=i)
    for i in range(7):
        send(f"again {i}", b"a", base_sequence=i)
    send("another length at a known place", b"a", b"b", base_sequence=6)
    send("other values at a known place", b"zzz", base_sequence=6)
    send("overlap", b"a", b"b", base_sequence=5)
    send("gap", b"a", base_sequence=9)
    send("back to the beginning", b"a", base_sequence=0)
    send("next", b"a", b"b", b"c", base_sequence=7)
    send("its middle", b"b", base_sequence=8)
    send("after the three", b"a", base_sequence=10)
    send("older epoch of nobody", b"a", base_sequence=0, producer_epoch=-1)
    send("negative sequence", b"a", base_sequence=-1)
    send("new epoch, wrong start", b"a", base_sequence=11, producer_epoch=1)
    send("new epoch", b"a", base_sequence=0, producer_epoch=1)
    send("old epoch", b"a", base_sequence=11)
    send("old epoch, known batch", b"a", base_sequence=10)
    send("epochs may skip", b"a", base_sequence=0, producer_epoch=32_000)
    send("last epoch", b"a", base_sequence=0, producer_epoch=32_767)
    send("epoch gone by", b"a", base_sequence=1, producer_epoch=32_000)
    list_offsets(site, "end", "sequences", -1)
    site.ask("remembered", 61, topics=[{"name": "sequences", "partition_indexes": [0, 1, -1]}])


def sequences_wrap(site: Site) -> None:
    create(site, "wrap", "wrap-batch", "wrap-zero")

    def send(label: str, topic: str, *values: bytes, **fields: int) -> None:
        given: dict[str, int] = {"producer_id": 4_100, "producer_epoch": 3, **fields}
        produce(site, label, topic, batch(*values, **given))

    send("unknown producers may begin anywhere", "wrap", b"a", base_sequence=LAST - 1)
    send("the last number", "wrap", b"a", base_sequence=LAST)
    send("not one more", "wrap", b"a", base_sequence=1)
    send("zero comes next", "wrap", b"a", base_sequence=0)
    send("the last number again", "wrap", b"a", base_sequence=LAST)
    send("one", "wrap", b"a", base_sequence=1)
    send("near the end", "wrap-batch", b"a", base_sequence=LAST - 1)
    send("across the end", "wrap-batch", b"a", b"b", b"c", base_sequence=LAST)
    send("across the end again", "wrap-batch", b"a", b"b", b"c", base_sequence=LAST)
    send("after it", "wrap-batch", b"a", base_sequence=2)
    send("ends at the end", "wrap-zero", b"a", b"b", base_sequence=LAST - 1)
    send("zero", "wrap-zero", b"a", base_sequence=0)
    for topic in ("wrap", "wrap-batch", "wrap-zero"):
        list_offsets(site, f"end of {topic}", topic, -1)


def unknown_producers(site: Site) -> None:
    create(site, "strangers")
    for sequence in (0, 5, LAST):
        for epoch in (0, 5):
            data = batch(
                b"a",
                producer_id=5_000 + sequence % 97 + epoch,
                producer_epoch=epoch,
                base_sequence=sequence,
            )
            produce(site, f"sequence {sequence} epoch {epoch}", "strangers", data)
    for name, fields in {
        "id without epoch": {"producer_id": 6_000},
        "epoch without id": {"producer_epoch": 1},
        "sequence without id": {"base_sequence": 1},
        "negative id": {"producer_id": -2, "producer_epoch": 0, "base_sequence": 0},
        "largest id": {"producer_id": 2**63 - 1, "producer_epoch": 0, "base_sequence": 0},
    }.items():
        produce(site, name, "strangers", batch(b"a", **fields))
    deleted: dict[str, int] = {"producer_id": 7_000, "producer_epoch": 0}
    produce(site, "before the records go", "strangers", batch(b"a", **deleted, base_sequence=0))
    site.ask(
        "go",
        21,
        timeout_ms=1000,
        topics=[{"name": "strangers", "partitions": [{"partition_index": 0, "offset": -1}]}],
    )
    produce(site, "goes on after", "strangers", batch(b"a", **deleted, base_sequence=1))
    produce(site, "the deleted one again", "strangers", batch(b"a", **deleted, base_sequence=0))


def several_batches(site: Site) -> None:
    create(site, "several")
    first = batch(b"a", producer_id=8_000, producer_epoch=0, base_sequence=0)
    second = batch(b"b", producer_id=8_000, producer_epoch=0, base_sequence=1)
    produce(site, "two of one producer", "several", first + second)
    other = batch(b"b", producer_id=8_001, producer_epoch=0, base_sequence=0)
    produce(site, "two producers", "several", first + other)
    produce(site, "one idempotent, one not", "several", first + batch(b"c"))
    list_offsets(site, "end", "several", -1)


def producer_ids(site: Site) -> None:
    site.each_version("fresh", 22, producer_id=-1, producer_epoch=-1, transaction_timeout_ms=0)
    for version in (3, 4, 5):
        for producer_id, epoch in ((1, -1), (-1, 1), (1, 1), (-2, -2), (2**62, 0), (0, 32_767)):
            site.ask(
                f"given {producer_id} {epoch} v{version}",
                22,
                version,
                producer_id=producer_id,
                producer_epoch=epoch,
                transaction_timeout_ms=1000,
            )
    site.ask("negative timeout", 22, producer_id=-1, producer_epoch=-1, transaction_timeout_ms=-1)
    site.ask(
        "empty transactional id",
        22,
        transactional_id="",
        transaction_timeout_ms=1000,
        producer_id=-1,
        producer_epoch=-1,
    )


def given_ids_differ(site: Site) -> None:
    """Whatever is given, no two producers get the same id."""
    seen: set[Any] = set()
    for _ in range(20):
        answer = site.quietly(22, producer_id=-1, producer_epoch=-1)
        seen.add(answer.producer_id)
    site.keep("different ids", len(seen))
    create(site, "idempotence-fresh")
    for i in range(2):
        answer = site.quietly(22, producer_id=-1, producer_epoch=-1)
        data = batch(
            b"a",
            producer_id=answer.producer_id,
            producer_epoch=answer.producer_epoch,
            base_sequence=0,
            base_timestamp=NOW_MS,
        )
        produce(site, f"fresh producer {i}", "idempotence-fresh", data)
        produce(site, f"fresh producer {i} again", "idempotence-fresh", data)
