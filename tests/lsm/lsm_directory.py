"""A small closed store on disk with everything in it that files can hold."""

from __future__ import annotations

from pathlib import Path

from mainstem.lsm import BlockCache, FamilyOptions, Store
from mainstem.testing.clock import VirtualClock

ROWS = {b"key%03d" % n: b"value %d" % n * (n % 5) for n in range(120)}


def fill(path: Path | str, *, tail: bool = True) -> Store:
    """Runs of two levels, three codecs, deletes, a range, states, and a log with commits."""
    store = Store.open(
        path,
        sync="batch",
        background="manual",
        hash_seed=1234567,
        memtable_bytes=1 << 20,
        cache=BlockCache(1 << 20),
        clock=VirtualClock(),
        family_options=FamilyOptions(block_bytes=512, fan_in=8),
    )
    store.put_batch(list(ROWS), list(ROWS.values()))
    store.compact()
    store.delete_batch([b"key007", b"key008"])
    store.delete_range(b"key020", b"key030")
    store.put(b"key025", b"again")
    store.flush()
    for codec in ("lz4", "zstd"):
        family = store.family(codec, codec=codec, upper_codec=codec, block_bytes=512)
        family.put_batch([b"%04d" % n for n in range(200)], [b"same" * 5] * 200)
    sums = store.family("sums", block_bytes=16 << 10)
    sums.merge_batch([b"a", b"b", b"a"], {"n": None, "t": [1.5, 2.0, 3.5]}, ["count", "sum"])
    stamped = store.family("stamped", ttl_ms=10**15, block_bytes=16 << 10)
    stamped.put_batch([b"x", b"yy"], [b"1", b"22"])
    store.flush()
    sums.merge_batch([b"a"], {"n": None, "t": [10.0]}, ["count", "sum"])
    store.write(_batch(store), position={"changelog-0": 41})
    if tail:
        store.delete_range(b"key100", None)
        store.put_batch([b"key100", b"key101"], [b"tail", None])
    store.close()
    return store


def _batch(store: Store) -> object:
    from mainstem.lsm import WriteBatch

    return WriteBatch().put(store, [b"last"], [b"one"]).delete(store.family("lz4"), [b"0001"])


def expected() -> dict[bytes, bytes]:
    """The default family of :func:`fill`."""
    rows = dict(ROWS)
    for key in [b"key007", b"key008", *(b"key%03d" % n for n in range(20, 30))]:
        del rows[key]
    rows[b"key025"] = b"again"
    for key in [key for key in rows if key >= b"key100"]:
        del rows[key]
    rows[b"key100"] = b"tail"
    rows.pop(b"last", None)
    return rows


def read_all(path: Path | str) -> dict[str, dict[bytes, bytes]]:
    """Every family, through scans and lookups; raises what the store raises."""
    with Store.open(path, sync="batch", background="manual", cache=BlockCache(1 << 20)) as store:
        found = {}
        for name in store.families:
            family = store.family(name)
            found[name] = dict(family.items())
            keys = list(found[name])
            assert family.get_batch(keys).to_pylist() == [found[name][key] for key in keys]
        return found
