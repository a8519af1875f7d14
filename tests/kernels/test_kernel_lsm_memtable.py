"""Memtables: rows in order are appended and found, and every version stays what it was."""

from __future__ import annotations

import random
import threading

import pytest
from test_kernel_lsm_rows import column, memtable_of

from mainstem.kernels import lsm

SEED = 9


def insert(
    table: lsm.Memtable, rows: dict[bytes, bytes | None], arena: lsm.Arena | None = None
) -> None:
    operation = lsm.Operation(lsm.PUT, 0, column(list(rows)), column(list(rows.values())), 0)
    table.insert(lsm.encode_batch(arena or lsm.Arena(), [operation], 64, 8), 64, b"")


def look_up(table: lsm.Memtable, mark: int, keys: list[bytes]) -> list[bytes | None]:
    lookup = lsm.Lookup(column(list(keys)), SEED, b"", 0)
    lookup.memtable(table, mark)
    offsets, data, validity, _ = (
        None if each is None else bytes(each) if not isinstance(each, int) else each
        for each in lookup.values()
    )
    lookup.close()
    at = memoryview(offsets).cast("i")
    return [
        data[at[n] : at[n + 1]] if validity is None or validity[n >> 3] >> (n & 7) & 1 else None
        for n in range(len(keys))
    ]


@pytest.mark.parametrize("seed", range(30))
def test_every_version_stays_what_it_was(seed: int) -> None:
    """Batches that go on in order, then some that do not; marks between them are asked again."""
    rng = random.Random(seed)
    table = lsm.Memtable(SEED)
    now: dict[bytes, bytes | None] = {}
    marks: list[tuple[int, dict[bytes, bytes | None]]] = [(0, {})]
    top, disorder = 0, rng.choice((3, 8, 99))
    for number in range(14):
        if number < disorder:
            new = sorted(rng.sample(range(top, top + 2000), rng.choice((1, 5, 400))))
            top = new[-1] + 1
        else:
            new = [rng.randrange(max(1, top)) for _ in range(rng.choice((1, 30)))]
        rows: dict[bytes, bytes | None] = {
            b"%09d" % key: rng.choice((b"%d" % number, None)) for key in new
        }
        insert(table, rows)
        now |= rows
        marks.append((table.rows, dict(now)))
        for mark, then in rng.sample(marks, min(3, len(marks))):
            keys = [b"%09d" % rng.randrange(top + 10) for _ in range(50)] + [*then][:50]
            where = f"seed {seed}, batch {number}, mark {mark}"
            assert look_up(table, mark, keys) == [then.get(key) for key in keys], where
    assert disorder == 99 or table.ordered < table.rows
    for mark, then in marks:
        found = {key: value for key, _, value, _ in lsm.describe(table.sorted_rows(0, mark))}
        assert found == {key: value or b"" for key, value in sorted(then.items())}, f"seed {seed}"


def test_a_batch_that_begins_in_order_and_ends_out_of_it_is_whole() -> None:
    table = memtable_of([[(b"a", b"1"), (b"c", b"2")], [(b"d", b"3"), (b"b", b"4"), (b"d", b"5")]])
    assert (table.ordered, table.rows) == (3, 5)
    assert look_up(table, 5, [b"a", b"b", b"c", b"d"]) == [b"1", b"4", b"2", b"5"]
    assert look_up(table, 2, [b"a", b"b", b"c", b"d"]) == [b"1", None, b"2", None]


def test_the_same_key_twice_is_not_in_order() -> None:
    table = memtable_of([[(b"a", b"1")], [(b"a", b"2")]])
    assert table.ordered == 1
    assert [value for _, _, value, _ in lsm.describe(table.sorted_rows(0, 2))] == [b"2"]


def test_operands_are_folded_into_rows_that_came_in_order() -> None:
    table = lsm.Memtable(SEED)
    five = (5).to_bytes(8, "little")
    insert(table, {b"a": five, b"b": five})
    states = lsm.Column(None, five * 2, None, 0, 2, 8)
    operation = lsm.Operation(lsm.MERGE, 0, column([b"b", b"c"]), states, 0)
    table.insert(lsm.encode_batch(lsm.Arena(), [operation], 0, 0), 0, b"\0")
    ten = (10).to_bytes(8, "little")
    rows = [(key, value) for key, _, value, _ in lsm.describe(table.sorted_rows(0, table.rows))]
    assert rows == [(b"a", five), (b"b", ten), (b"c", five)]


def test_states_wider_than_an_arena_are_folded() -> None:
    fields = 40_000  # 320,000 bytes; an arena has 262,144
    table = lsm.Memtable(SEED)
    one = (1).to_bytes(8, "little") * fields
    keys = [b"%d" % (n // 2) for n in range(16)]
    states = lsm.Column(None, one * len(keys), None, 0, len(keys), 8 * fields)
    operation = lsm.Operation(lsm.MERGE, 0, column(list(keys)), states, 0)
    table.insert(lsm.encode_batch(lsm.Arena(), [operation], 0, 0), 0, bytes(fields))
    two = (2).to_bytes(8, "little") * fields
    found = [value for _, _, value, _ in lsm.describe(table.sorted_rows(0, table.rows))]
    assert found == [two] * 8


def test_readers_index_beside_a_writer_and_see_every_row() -> None:
    table = lsm.Memtable(SEED)
    done = threading.Event()
    wrong: list[tuple[int, int]] = []
    shown = [0]

    def read(seed: int) -> None:
        rng = random.Random(seed)
        while not done.is_set():
            mark = shown[0]
            numbers = [rng.randrange(mark + 5) for _ in range(200)]
            found = look_up(table, mark, [b"%09d" % n for n in numbers])
            wrong.extend(
                (mark, n)
                for n, value in zip(numbers, found, strict=True)
                if value != (b"x" if n < mark else None)
            )

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    for start in range(0, 60_000, 300):
        insert(table, {b"%09d" % n: b"x" for n in range(start, start + 300)})
        shown[0] = table.rows
    insert(table, {b"%09d" % n: b"y" for n in range(0, 60_000, 7)})
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert look_up(table, 60_000, [b"%09d" % 7]) == [b"x"]
    assert look_up(table, table.rows, [b"%09d" % 7]) == [b"y"]


def test_slabs_come_back_when_their_last_piece_goes() -> None:
    lsm.trim()
    arena, pieces = lsm.Arena(), []
    operation = lsm.Operation(lsm.PUT, 0, column([b"k"]), column([b"v" * 100_000]), 0)
    for number in range(200):
        piece = lsm.encode_batch(arena, [operation], 8, 8)
        memoryview(piece)[:1] = bytes((number,))
        pieces.append(piece)
    assert lsm.kept_bytes() == 0
    assert [memoryview(piece)[0] for piece in pieces] == list(range(200))
    last = pieces.pop()
    del arena
    pieces.clear()
    assert lsm.kept_bytes() >= 3 << 22
    lsm.lend()
    assert memoryview(last)[:1] == b"\xc7"
    lsm.trim()
    assert lsm.kept_bytes() == 0
    assert memoryview(last)[100:101] == b"v"


def insert_equal(table: lsm.Memtable, keys: list[bytes], values: list[bytes]) -> None:
    """As columns of fixed width, which have a path of their own."""
    fixed = [lsm.Column(None, b"".join(each), None, 0, len(each), 4) for each in (keys, values)]
    operation = lsm.Operation(lsm.PUT, 0, *fixed, 0)
    table.insert(lsm.encode_batch(lsm.Arena(), [operation], 64, 8), 64, b"")


@pytest.mark.parametrize("seed", range(10))
def test_rows_of_equal_width_are_in_order_only_as_long_as_they_ascend(seed: int) -> None:
    rng = random.Random(seed)
    table = lsm.Memtable(SEED)
    now: dict[bytes, bytes] = {}
    ordered, top = 0, 0
    for count in (1, 300, 20_000, 40, 1):  # beyond a chunk of 16,384 rows
        keys = list(range(top, top + count))
        insert_equal(table, [b"%04x" % key for key in keys], [b"%04x" % key for key in keys])
        now |= {b"%04x" % key: b"%04x" % key for key in keys}
        ordered, top = ordered + count, top + count
        assert table.ordered == table.rows == ordered
    # From here on: equal to the last of the batch before, to one within the batch, or below it.
    first = rng.choice((top - 1, top, top))
    steps = [rng.choice((0, 1, 1, -1)) for _ in range(99)] + [0, -1]
    keys = [first]
    for step in steps:
        keys.append(keys[-1] + step)
    insert_equal(table, [b"%04x" % key for key in keys], [b"n%03d" % n for n in range(len(keys))])
    now |= {b"%04x" % key: b"n%03d" % n for n, key in enumerate(keys)}
    rising = next(n for n, key in enumerate(keys) if key <= (keys[n - 1] if n else top - 1))
    assert table.ordered == ordered + rising, f"seed {seed}"
    found = lsm.describe(table.sorted_rows(0, table.rows))
    assert [(key, value) for key, _, value, _ in found] == sorted(now.items()), f"seed {seed}"
    asked = rng.sample(sorted(now), 200) + [b"%04x" % key for key in keys]
    assert look_up(table, table.rows, asked) == [now[key] for key in asked], f"seed {seed}"
