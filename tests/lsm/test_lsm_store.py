"""What each call of the store does, one behaviour per test."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mainstem.errors import Closed, Conflict, Corrupt, Invalid, Unavailable
from mainstem.lsm import (
    BlockCache,
    FamilyOptions,
    Store,
    StoreOptions,
    WriteBatch,
    check,
    write_run,
)
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem


def memory_store(**options: Any) -> Store:
    return Store.open("store", filesystem=CrashFileSystem(), background="inline", **options)


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.string(), pa.binary(2), pa.binary_view()]
)
def test_every_binary_type_can_be_a_key(kind: pa.DataType) -> None:
    store = memory_store()
    keys = pa.array([b"bb", b"aa", b"cc"]).cast(kind)
    store.put_batch(keys, pa.array([b"2", b"1", b"3"]))
    assert list(store.items()) == [(b"aa", b"1"), (b"bb", b"2"), (b"cc", b"3")]
    assert store.get_batch(keys).to_pylist() == [b"2", b"1", b"3"]


def test_slices_of_arrays_are_taken_as_they_are() -> None:
    store = memory_store()
    keys = pa.array([b"x", None, b"a", b"b", b"c"])
    values = pa.array([b"9", b"1", None, b"33", b"4"])
    store.put(b"a", b"old")
    store.put_batch(keys[2:], values[2:])
    assert dict(store.items()) == {b"b": b"33", b"c": b"4"}


def test_chunked_arrays_are_taken() -> None:
    store = memory_store()
    store.put_batch(pa.chunked_array([[b"a"], [b"b"]]), pa.chunked_array([[b"1", b"2"]]))
    assert dict(store.items()) == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize(
    ("keys", "values", "message"),
    [
        ([b"a", None], [b"1", b"2"], "every row needs a key"),
        ([b"a"], [b"1", b"2"], "1 keys but 2 values"),
        ([1], [b"1"], "must be bytes"),
        (pa.array([1]), [b"1"], "no byte order"),
    ],
)
def test_columns_that_cannot_be_are_refused(keys: Any, values: Any, message: str) -> None:
    store = memory_store()
    with pytest.raises(Invalid, match=message):
        store.put_batch(keys, values)
    assert list(store.items()) == []


def test_the_last_of_equal_keys_in_a_batch_wins() -> None:
    store = memory_store()
    store.put_batch([b"k", b"k", b"k"], [b"1", None, b"3"])
    assert store[b"k"] == b"3"


def test_empty_keys_and_values_are_keys_and_values() -> None:
    store = memory_store()
    store[b""] = b""
    store.flush()
    assert store[b""] == b""
    assert b"" in store
    assert store.get_batch([b"", b"\0"]).to_pylist() == [b"", None]


def test_null_keys_are_found_nowhere() -> None:
    assert memory_store().get_batch([None, b"a"]).to_pylist() == [None, None]


def test_large_values_make_blocks_of_their_own() -> None:
    store = memory_store()
    big = bytes(range(256)) * 8000
    store.put_batch([b"big", b"small"], [big, b"1"])
    store.flush()
    assert store.get_batch([b"small", b"big"]).to_pylist() == [b"1", big]


def test_the_dict_face() -> None:
    store = memory_store()
    store.update({b"b": b"2", b"a": b"1"})
    assert list(store) == [b"a", b"b"]
    assert list(store.values()) == [b"1", b"2"]
    del store[b"a"]
    assert store.get(b"a") is None
    with pytest.raises(KeyError):
        store[b"a"]
    with pytest.raises(KeyError):
        del store[b"a"]


def test_scan_gives_a_record_batch_reader() -> None:
    store = memory_store()
    store.put_batch([b"a", b"b", b"c"], [b"1", b"2", b"3"])
    reader = store.scan(b"b", reverse=True)
    assert isinstance(reader, pa.RecordBatchReader)
    assert reader.read_all().to_pydict() == {"key": [b"c", b"b"], "value": [b"3", b"2"]}


def test_a_scan_sees_the_moment_it_was_asked_for() -> None:
    store = memory_store()
    store.put_batch([b"%05d" % n for n in range(5000)], [b"old"] * 5000)
    scan = store.scan(batch_rows=10)
    store.delete_range()
    store.put(b"00001", b"new")
    store.compact()
    assert set(scan.read_all()["value"].to_pylist()) == {b"old"}


def test_a_snapshot_outlives_merges_and_unlinked_files() -> None:
    store = memory_store()
    store.put_batch([b"a", b"b"], [b"1", b"2"])
    store.flush()
    with store.snapshot() as snapshot:
        store.delete_range()
        store.compact()
        assert dict(snapshot.items()) == {b"a": b"1", b"b": b"2"}
        assert snapshot.get_batch([b"b"]).to_pylist() == [b"2"]
    with pytest.raises(Closed):
        snapshot.get(b"a")


def test_arrays_stay_valid_after_merges_and_close() -> None:
    store = memory_store()
    rows = {b"%04d" % n: b"v" * n for n in range(300)}
    store.put_batch(list(rows), list(rows.values()))
    store.flush()
    found = store.get_batch(list(rows))
    batches = list(store.scan())
    store.delete_range()
    store.compact()
    store.close()
    assert found.to_pylist() == list(rows.values())
    assert pa.Table.from_batches(batches)["value"].to_pylist() == list(rows.values())


def test_a_batch_over_families_is_atomic_and_ordered() -> None:
    store = memory_store()
    other = store.family("other")
    store[b"a"] = b"old"
    batch = WriteBatch().delete_range(store).put(store, [b"a"], [b"new"]).put(other, [b"x"], [b"y"])
    store.write(batch, position={"topic-0": 7})
    assert (store[b"a"], other[b"x"], store.position) == (b"new", b"y", {"topic-0": 7})


def test_a_batch_for_two_stores_is_refused() -> None:
    one, two = memory_store(), memory_store()
    with pytest.raises(Invalid, match="another store"):
        WriteBatch().put(one, [b"a"], [b"1"]).put(two, [b"a"], [b"1"])
    with pytest.raises(Invalid, match="another store"):
        two.write(WriteBatch().put(one, [b"a"], [b"1"]))


def test_families_keep_their_options() -> None:
    store = memory_store()
    store.family("f", codec="lz4")
    with pytest.raises(Conflict, match="exists with"):
        store.family("f", codec="zstd")
    assert store.family("f").options.codec == "lz4"
    with pytest.raises(Invalid, match="there is no family 'nope'"):
        store.family("nope", create=False)


def test_a_second_opening_is_refused_while_the_first_lasts(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s"), pytest.raises(Conflict, match="open already"):
        Store.open(tmp_path / "s")
    Store.open(tmp_path / "s").close()


def test_a_closed_store_says_so() -> None:
    store = memory_store()
    store.close()
    store.close()
    for call in (lambda: store.put(b"a", b""), lambda: store.get(b"a"), store.snapshot):
        with pytest.raises(Closed, match="open it again"):
            call()


def test_opening_what_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no store"):
        Store.open(tmp_path / "nothing", create=False)


def test_unknown_and_impossible_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be opened"):
        Store.open(tmp_path / "s", colour="red")
    with pytest.raises(Invalid, match="memtable_bytes"):
        StoreOptions(memtable_bytes=1)
    with pytest.raises(Invalid, match="fan_in"):
        FamilyOptions(fan_in=1)
    with pytest.raises(Invalid, match="retention_ms=5: it must be 0 without window_ms"):
        FamilyOptions(retention_ms=5)


def test_merged_states_fold_over_runs_and_memtables() -> None:
    store = memory_store()
    sums = store.family("sums")
    ops = ["sum", "min", "max", "count", "last"]
    for number in (5, -3, 9):
        columns = {"s": [number], "lo": [number], "hi": [float(number)], "n": None, "z": [number]}
        sums.merge_batch([b"k"], columns, ops)
        store.flush()
    assert sums.states([b"k", b"none"]).to_pylist() == [
        {"s": 11, "lo": -3, "hi": 9.0, "n": 3, "z": 9},
        {"s": None, "lo": None, "hi": None, "n": None, "z": None},
    ]


def test_a_family_with_rows_cannot_begin_to_merge() -> None:
    store = memory_store()
    store.put(b"a", b"1")
    with pytest.raises(Invalid, match="holds rows already"):
        store.merge_batch([b"a"], {"n": None}, ["count"])


def test_a_family_merges_one_way_only() -> None:
    store = memory_store()
    store.merge_batch([b"a"], {"n": [1]}, ["sum"])
    with pytest.raises(Conflict, match="merges"):
        store.merge_batch([b"a"], {"n": [1]}, ["max"])
    with pytest.raises(Invalid, match="must be such states"):
        store.put(b"a", b"too short")
    with pytest.raises(Invalid, match="there is no operation 'mean'"):
        store.merge_batch([b"a"], {"n": [1]}, ["mean"])
    with pytest.raises(Invalid, match="1 of them null"):
        store.merge_batch([b"a"], {"n": [None]}, ["sum"])


def test_rows_past_their_time_are_gone_and_their_files_unlinked() -> None:
    clock = VirtualClock()
    store = Store.open("store", filesystem=CrashFileSystem(), background="manual", clock=clock)
    family = store.family("t", ttl_ms=1000)
    family.put_batch([b"a", b"b"], [b"1", b"2"])
    store.flush()
    clock.advance(0.6)
    family.put(b"b", b"3")
    clock.advance(0.5)
    assert dict(family.items()) == {b"b": b"3"}
    assert family.get_batch([b"a", b"b"]).to_pylist() == [None, b"3"]
    assert store.expire() == 1
    clock.advance(1)
    assert dict(family.items()) == {}
    store.flush()
    store.expire()
    assert store.stats().families[1].disk_rows == 0


def test_windows_are_files_that_go_whole() -> None:
    from mainstem.lsm import encode_key

    clock = VirtualClock()
    start = clock.now_ms()
    store = Store.open("store", filesystem=CrashFileSystem(), background="manual", clock=clock)
    family = store.family("w", window_ms=1000, retention_ms=5000)
    keys = [encode_key(start + 250 * n, f"x{n}") for n in range(40)]
    family.put_batch(keys, [b"v"] * 40)
    store.flush()
    files = store.stats().families[1].levels[0][1]
    assert files >= 10
    clock.advance(9)
    assert store.expire() >= 3
    left = list(family)
    assert left == keys[-len(left) :]
    assert 40 > len(left) >= 24
    store.family("w").compact()
    assert list(family) == left


def test_a_checkpoint_is_a_store_of_its_own(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s")
    store.put_batch([b"a", b"b"], [b"1", b"2"])
    store.write(WriteBatch(), position={"n": 3})
    store.checkpoint(tmp_path / "copy")
    store.delete_range()
    store.compact()
    store.close()
    assert [each.severity for each in check(tmp_path / "copy")] == ["ok"]
    with Store.open(tmp_path / "copy") as copy:
        assert dict(copy.items()) == {b"a": b"1", b"b": b"2"}
        assert copy.position == {"n": 3}
    again = Store.open(tmp_path / "s")
    with pytest.raises(Conflict, match="not empty"):
        again.checkpoint(tmp_path / "copy")
    again.close()


def test_a_run_written_offline_is_newer_than_all_there_is(tmp_path: Path) -> None:
    batch = pa.record_batch({"key": [b"b", b"a", b"c"], "value": [b"run", b"run", None]})
    assert write_run(str(tmp_path / "x.run"), [batch]) == 3
    store = Store.open(tmp_path / "s")
    store.put_batch([b"a", b"c", b"d"], [b"old", b"old", b"old"])
    store.ingest(tmp_path / "x.run")
    assert dict(store.items()) == {b"a": b"run", b"b": b"run", b"d": b"old"}
    store.put(b"a", b"new")
    store.close()
    with Store.open(tmp_path / "s") as again:
        assert again.get_batch([b"a", b"b", b"c"]).to_pylist() == [b"new", b"run", None]
        again.compact()
        assert dict(again.items()) == {b"a": b"new", b"b": b"run", b"d": b"old"}


def test_a_damaged_run_is_not_ingested(tmp_path: Path) -> None:
    rows = pa.record_batch({"key": [b"%03d" % n for n in range(99)], "value": [b"v"] * 99})
    write_run(str(tmp_path / "x.run"), [rows])
    data = bytearray((tmp_path / "x.run").read_bytes())
    data[300] ^= 1
    (tmp_path / "x.run").write_bytes(data)
    with Store.open(tmp_path / "s") as store:
        with pytest.raises(Corrupt, match="cannot be added"):
            store.ingest(tmp_path / "x.run")
        assert list(store) == []


def test_runs_that_do_not_ascend_are_refused(tmp_path: Path) -> None:
    batches = [pa.record_batch({"key": [key], "value": [b""]}) for key in (b"b", b"a")]
    with pytest.raises(Invalid, match="not ascend"):
        write_run(str(tmp_path / "x.run"), batches)
    assert not (tmp_path / "x.run").exists()


def test_deleted_runs_go_without_being_read() -> None:
    store = memory_store()
    for part in range(4):
        store.put_batch([b"%d%04d" % (part, n) for n in range(500)], [b"v"] * 500)
        store.flush()
    before = store.stats()
    store.delete_range(b"1", b"3")
    store.flush()
    after = store.stats()
    assert after.bytes_merged == before.bytes_merged
    assert after.families[0].disk_rows == 1000


def test_deletes_of_nothing_go_at_the_bottom() -> None:
    store = memory_store(family_options=FamilyOptions(fan_in=2))
    store.put_batch([b"a%03d" % n for n in range(100)], [b"v"] * 100)
    store.flush()
    store.delete_batch([b"b%03d" % n for n in range(100)])
    store.flush()
    stats = store.stats().families[0]
    assert (stats.disk_rows, stats.deletes) == (100, 0)


def test_sequential_runs_are_moved_not_rewritten() -> None:
    store = memory_store()
    for part in range(20):
        store.put_batch([b"%02d%04d" % (part, n) for n in range(100)], [b"v"] * 100)
        store.flush()
    stats = store.stats()
    assert stats.merges > 0
    assert stats.bytes_merged == 0
    assert len(stats.families[0].levels) < 12
    assert len(list(store)) == 2000


def test_one_budget_bounds_the_cache_of_all_stores() -> None:
    cache = BlockCache(40_000)
    stores = [memory_store(cache=cache) for _ in range(2)]
    for store in stores:
        keys = [b"%05d" % n for n in range(4000)]
        store.put_batch(keys, [b"v" * 50] * 4000)
        store.flush()
        for _ in range(2):
            assert store.get_batch(keys).null_count == 0
        assert cache.used <= 40_000
    assert cache.evictions > 0
    for store in stores:
        store.close()
    assert cache.used == 0


def test_absent_keys_read_a_block_in_a_hundred() -> None:
    store = memory_store()
    keys = [b"%06d" % n for n in range(20_000)]
    store.put_batch(keys, [b"v" * 20] * len(keys))
    store.compact()
    before = store.state.cache.misses
    absent = [key + b"!" for key in keys]
    for at in range(0, len(absent), 100):
        assert store.get_batch(absent[at : at + 100]).null_count == 100
    run = store.state.disk[0][0].files[0].run
    wrong = sum(run.may_contain(key) for key in absent) / len(absent)
    assert 0.003 < wrong < 0.014  # blocked Bloom filter of 10 bits: 0.9 % expected
    assert store.state.cache.misses - before <= wrong * len(absent) + 1


def test_readers_and_a_writer_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each commit sets all keys to one value: a reader must never see two."""
    store = Store.open(tmp_path / "s", sync="none", memtable_bytes=1 << 18, file_bytes=1 << 16)
    keys = [b"%04d" % n for n in range(200)]
    store.put_batch(keys, [b"0"] * 200)
    stop = threading.Event()
    mixed: list[object] = []

    def read() -> None:
        while not stop.is_set():
            seen = set(store.get_batch(keys).to_pylist())
            with store.snapshot() as snapshot:
                scanned = set(snapshot.scan().read_all()["value"].to_pylist())
            if len(seen) != 1 or len(scanned) != 1:
                mixed.append((seen, scanned))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1500):
        store.put_batch(keys, [b"%d" % number] * 200)
    stop.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    assert store.stats().flushes > 2
    store.close()


def test_a_sync_that_ends_after_a_seal_hides_nothing() -> None:
    """Who syncs for a group publishes what it captured; a seal may have shown more meanwhile."""
    store = Store.open("store", filesystem=CrashFileSystem(), background="manual", sync="none")
    store.put(b"a", b"1")
    with store.state.write_lock:
        captured = store.state.capture()
    store.put(b"b", b"2")
    store.state.publish(captured)
    assert list(store) == [b"a", b"b"]
    with store.state.write_lock:
        captured = store.state.capture()
        store.state.seal()
    store.put(b"c", b"3")
    store.state.publish(captured)
    assert list(store) == [b"a", b"b", b"c"]


def test_a_sync_that_ends_after_a_seal_counts_nothing_twice() -> None:
    store = Store.open("store", filesystem=CrashFileSystem(), background="manual", sync="none")
    store.merge_batch([b"k"], {"n": None}, ["count"])
    with store.state.write_lock:
        captured = store.state.capture()
        store.state.seal()
    store.state.publish(captured)
    assert store.states([b"k"]).to_pylist() == [{"n": 1}]
    store.flush()
    assert store.stats().families[0].memory_rows == 0


def test_many_writers_share_syncs(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", sync="group")

    def write(name: int) -> None:
        for number in range(50):
            store.put(b"%d-%d" % (name, number), b"v")

    writers = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(list(store)) == 400
    assert store.stats().commits == 400
    store.close()
    with Store.open(tmp_path / "s") as again:
        assert len(list(again)) == 400


def test_a_writer_waits_for_flushes_that_fall_behind(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", sync="none", memtable_bytes=1 << 14)
    for number in range(400):
        store.put_batch([b"%d-%d" % (number, n) for n in range(50)], [b"v" * 100] * 50)
        assert store.stats().sealed_bytes <= 8 << 14
    store.wait_idle()
    assert store.stats().debt < 0.9
    assert store.stats().failure is None
    store.close()


def test_merges_go_on_beside_a_writer_who_never_pauses() -> None:
    """Flushes always wait; without a share of their own, merges would never come to be."""
    store = Store.open(
        "store",
        filesystem=CrashFileSystem(),
        background="manual",
        memtable_bytes=1 << 13,
        slice_bytes=1 << 10,
        family_options=FamilyOptions(fan_in=3, block_bytes=512),
    )
    deepest = 0
    for number in range(300):
        keys = [b"%03d" % ((number * 37 + n * 11) % 500) for n in range(100)]
        store.put_batch(keys, [b"%05d" % number * 4] * 100)
        while len(store.state.frozen) > 2:
            store.step()
        deepest = max(deepest, len(store.stats().families[0].levels))
    assert store.stats().merges > 10
    assert deepest < 20
