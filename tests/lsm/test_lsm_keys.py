"""Keys of several values sort as the values do; the examples run."""

from __future__ import annotations

import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

from mainstem.errors import Invalid
from mainstem.lsm import decode_key, encode_key, encode_keys

WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
REAL = st.floats(allow_nan=False)
TEXT = st.text(alphabet=st.sampled_from("\0\1aé\uffff"), max_size=5)
TUPLES = st.tuples(WHOLE, REAL, TEXT, st.binary(max_size=4))
TYPES = ("int", "float", "str", "bytes")
ROOT = Path(__file__).parents[2]


@settings(deadline=None)
@given(TUPLES, TUPLES)
def test_keys_sort_as_their_values(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    texts = [tuple(p.encode() if isinstance(p, str) else p for p in each) for each in (one, other)]
    assert (encode_key(*one) < encode_key(*other)) == (texts[0] < texts[1])  # type: ignore[arg-type, operator]


@settings(deadline=None)
@given(TUPLES)
def test_keys_give_their_values_back(parts: tuple[object, ...]) -> None:
    assert decode_key(encode_key(*parts), TYPES) == parts  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(TUPLES, max_size=20))
def test_columns_encode_as_rows_do(rows: list[tuple[int, float, str, bytes]]) -> None:
    wholes, reals, texts, raws = zip(*rows, strict=True) if rows else ((), (), (), ())
    keys = encode_keys(
        pa.array(wholes, pa.int64()),
        pa.array(reals, pa.float64()),
        pa.array(texts, pa.string()),
        pa.array(raws, pa.binary()),
    )
    assert keys.to_pylist() == [encode_key(*row) for row in rows]


def test_times_are_milliseconds() -> None:
    early, late = (
        datetime(1969, 12, 31, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 5000, tzinfo=UTC),
    )
    assert encode_key(early) < encode_key(0) < encode_key(late)
    assert decode_key(encode_key(late), ["timestamp"]) == (late,)
    column = pa.array([early, late], pa.timestamp("us", "UTC"))
    assert encode_keys(column).to_pylist() == [encode_key(early), encode_key(late)]


def test_nan_is_above_all_floats_and_zero_has_no_sign() -> None:
    assert encode_key(float("nan")) > encode_key(float("inf"))
    assert encode_key(-float("nan")) == encode_key(float("nan"))
    assert encode_key(-0.0) == encode_key(0.0)


@pytest.mark.parametrize("part", [None, True, 1 << 63, datetime(2026, 1, 1), [1]])  # noqa: DTZ001
def test_parts_without_a_place_in_a_key_are_refused(part: object) -> None:
    with pytest.raises(Invalid):
        encode_key(part)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [b"", b"\0" * 7, b"\0" * 9, b"a" * 8 + b"\0\2"])
def test_bytes_that_are_no_such_key_are_refused(key: bytes) -> None:
    with pytest.raises(Invalid):
        decode_key(key, ["int", "bytes"])


def test_columns_with_nulls_are_refused() -> None:
    with pytest.raises(Invalid):
        encode_keys(pa.array(["a", None]))
    with pytest.raises(Invalid):
        encode_keys(pa.array([1, None]))


def test_the_example_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lsm_counters.py", str(tmp_path / "state")])
    runpy.run_path(str(ROOT / "examples" / "lsm_counters.py"), run_name="__main__")
    assert "{'departures-0': 3} 2" in capsys.readouterr().out
