"""What cannot be asked for: the error says what it was and what to do, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mainstem.errors import Conflict, Invalid
from mainstem.lsm import Store, WriteBatch
from mainstem.testing.filesystem import CrashFileSystem

CALLS: dict[str, tuple[Callable[[Any], object], str]] = {
    "put a number": (lambda s: s.put(1, b"x"), "a key must be bytes, not 1: encode it"),
    "put text": (lambda s: s.put("k", b"x"), "a key must be bytes, not 'k': encode it"),
    "put no value": (lambda s: s.put(b"k", None), "a value must be bytes, not None"),
    "ask by text": (lambda s: s["k"], "a key must be bytes"),
    "set by a number": (lambda s: s.__setitem__(1, b"x"), "a key must be bytes"),
    "text in": (lambda s: "k" in s, "a key must be bytes"),
    "delete text": (lambda s: s.delete("k"), "a key must be bytes"),
    "keys that are text": (lambda s: s.get_batch("abc"), "a list of bytes, not 'abc'"),
    "keys that are one key": (lambda s: s.get_batch(b"abc"), "a list of bytes, not b'abc'"),
    "keys of a dict": (lambda s: s.put_batch({b"a": 1}, [b"1"]), "a list of bytes, not {b'a': 1}"),
    "keys of a set": (lambda s: s.delete_batch({b"a"}), "a list of bytes"),
    "a list of text": (lambda s: s.get_batch(["a"]), "keys in a list must be bytes"),
    "numbers": (lambda s: s.get_batch(pa.array([1])), "encode them"),
    "a range of text": (lambda s: s.delete_range("a", "b"), "the low end must be bytes"),
    "a range to a number": (lambda s: s.delete_range(b"a", 9), "the high end must be bytes"),
    "a scan of text": (lambda s: s.scan("a"), "the low end must be bytes"),
    "a scan to text": (lambda s: s.scan(b"a", "b"), "the high end must be bytes"),
    "a prefix of text": (lambda s: list(s.items(prefix="a")), "a prefix must be bytes"),
    "less than no rows": (lambda s: s.scan(limit=-1), "limit=-1 is no number of rows"),
    "a limit of text": (lambda s: s.scan(limit="x"), "limit='x' is no number of rows"),
    "batches of half a row": (lambda s: s.scan(batch_rows=0.5), "batches of 0.5 rows"),
    "operations by name": (
        lambda s: s.merge_batch([b"a"], {"n": [1]}, {"n": "sum"}),
        "give a list, an operation for each column: sum, min",
    ),
    "operations as text": (lambda s: s.merge_batch([b"a"], {"n": [1]}, "sum"), "give a list"),
    "an unknown operation": (
        lambda s: s.merge_batch([b"a"], {"n": [1]}, ["avg"]),
        "there is no operation 'avg': there are sum, min, max, last, count",
    ),
    "columns without names": (
        lambda s: s.merge_batch([b"a"], [[1]], ["sum"]),
        "columns must be a dict or a pyarrow.RecordBatch",
    ),
    "a family of a number": (lambda s: s.family(5), "a family cannot be called 5"),
    "a family without a name": (lambda s: s.family(""), "a family cannot be called ''"),
    "a name that is no text": (lambda s: s.family("\ud800"), "surrogates not allowed"),
    "a long name": (lambda s: s.family("x" * 256), "text of 1 to 255 bytes"),
    "an unknown codec": (
        lambda s: s.family("x", codec="gzip"),
        "a family cannot have codec='gzip': it must be none, lz4 or zstd",
    ),
    "what is no batch": (lambda s: s.write("x"), "write takes a WriteBatch, not 'x'"),
    "a position of text": (
        lambda s: s.write(WriteBatch(), position={"a": "b"}),
        "whole numbers of 64 bits by name, not 'a': 'b'",
    ),
    "a great position": (
        lambda s: s.write(WriteBatch(), position={"a": 1 << 64}),
        "whole numbers of 64 bits by name",
    ),
    "a list of items": (lambda s: s.update([(b"a", b"b")]), "update takes a dict"),
    "a checkpoint at a number": (
        lambda s: s.checkpoint(5),
        "a checkpoint lies at a path",
    ),
    "a run at a number": (lambda s: s.ingest(5), "a run lies at a path, not at 5"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_is_refused_and_changes_nothing(name: str) -> None:
    call, message = CALLS[name]
    files = CrashFileSystem()
    with Store.open("s", filesystem=files, background="inline") as store:
        with pytest.raises(Invalid) as caught:
            call(store)
        assert message in str(caught.value)
        store.put(b"k", b"v")
        assert (store.families, store.position) == (("default",), {})
    with Store.open("s", filesystem=files, background="inline") as store:
        assert list(store.items()) == [(b"k", b"v")]


@pytest.mark.parametrize("path", [5, None, b"s", "", "a\0b"])
def test_a_store_lies_at_a_path(path: Any) -> None:
    with pytest.raises(Invalid, match="path"):
        Store.open(path)


def test_a_store_is_opened_with_options_that_can_be(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="sync='yes': it must be batch, group, none or external"):
        Store.open(tmp_path / "s", sync="yes")
    with pytest.raises(Invalid, match="memtable_byte"):
        Store.open(tmp_path / "s", memtable_byte=1)


def test_states_of_other_fields_are_a_conflict_that_names_both() -> None:
    with Store.open("s", filesystem=CrashFileSystem(), background="inline") as store:
        store.merge_batch([b"a"], {"n": [1.5]}, ["sum"])
        with pytest.raises(Conflict, match=r"merges n \(sum of double\), not n \(max of int64\)"):
            store.merge_batch([b"a"], {"n": [1]}, ["max"])
