"""JSON text is looked at in large steps: what is special is found at every place of a step."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

import mainstem as ms

SPECIAL = ['"', "\\", "\n", "\x00", "\x1f", "é", "\x7f", "𝄞", "ÿ"]


def encode(texts: list[str]) -> list[bytes]:
    batch = pa.record_batch({"a": pa.array(texts)})
    return ms.Json().encode(batch, used=frozenset()).to_pylist()  # type: ignore[no-any-return]


def decode(values: list[bytes], **schema: pa.DataType) -> dict[str, pa.Array]:
    decoder = ms.Json(pa.schema(schema)).decoder()
    return decoder(pa.array(values, pa.binary()), lambda row: f"row {row}")  # type: ignore[no-any-return]


@pytest.mark.parametrize("special", SPECIAL)
def test_what_is_special_is_found_wherever_it_is(special: str) -> None:
    texts = [
        "x" * before + special + "y" * behind
        for before in range(40)
        for behind in (0, 1, 7, 16, 33)
    ]
    assert [json.loads(value)["a"] for value in encode(texts)] == texts
    for ascii_only in (True, False):
        written = [json.dumps({"a": text}, ensure_ascii=ascii_only).encode() for text in texts]
        assert decode(written, a=pa.string())["a"].to_pylist() == texts


@pytest.mark.parametrize("bad", [b"\x00", b"\n", b"\x1f", b"\xff", b"\xc3", b"\\x"])
@pytest.mark.parametrize("before", [0, 3, 7, 8, 15, 16, 31, 100])
def test_text_that_is_not_valid_is_refused_wherever_it_is(bad: bytes, before: int) -> None:
    for behind in (0, 20):
        value = b'{"a":"' + b"x" * before + bad + b"y" * behind + b'"}'
        with pytest.raises(ms.Corrupt):
            decode([value], a=pa.string())


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 40])
def test_names_of_any_length_are_told_apart(size: int) -> None:
    names = ["n" * size + end for end in ("", "1", "2")] + [f"{n}" + "n" * size for n in range(3)]
    row = {name: number for number, name in enumerate(names)}
    for order in (names, names[::-1], names[3:] + names[:3]):
        value = json.dumps({name: row[name] for name in order}).encode()
        found = decode([value], **dict.fromkeys(names, pa.int32()))
        assert {name: found[name][0].as_py() for name in names} == row


@pytest.mark.parametrize(
    "text", [b'{"a"b":1}', b'{"a\\"b":1}', b'{"a\\u0022b" :1}', b'{"a\nb":1}', b'{"a\\nb":1}']
)
def test_a_name_that_needs_escapes_is_read_like_any_other(text: bytes) -> None:
    try:
        wanted = [json.loads(text)]
    except ValueError:
        with pytest.raises(ms.Corrupt):
            decode([text], **{'a"b': pa.int64(), "a\nb": pa.int64()})
        return
    found = decode([text], **{'a"b': pa.int64(), "a\nb": pa.int64()})
    rows = [{name: found[name][0].as_py() for name in found}]
    assert [{k: v for k, v in row.items() if v is not None} for row in rows] == wanted


def test_integers_of_every_length_are_written_as_they_are() -> None:
    numbers = [sign * (10**power + add) for power in range(19) for add in (-1, 0, 7)
               for sign in (1, -1)] + [2**63 - 1, -(2**63), 99, 100, 0]  # fmt: skip
    batch = pa.record_batch({"n": pa.array(numbers, pa.int64())})
    values = ms.Json().encode(batch, used=frozenset()).to_pylist()
    assert values == [b'{"n":%d}' % number for number in numbers]
    assert decode(values, n=pa.int64())["n"].to_pylist() == numbers


@pytest.mark.parametrize("behind", ['"', "\\", "\x00", "é"])
def test_what_is_behind_a_text_is_not_taken_for_a_part_of_it(behind: str) -> None:
    for size in range(70):
        texts = ["x" * size, behind * 20, "x" * size]
        assert [json.loads(value)["a"] for value in encode(texts)] == texts
        assert encode(texts[:1]) == encode(texts)[:1]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()], ids=str)
@pytest.mark.parametrize("behind", ["", " ", ".", ".0", ".5", "e0", "e1", "E-1", "x", "-"])
def test_integers_of_every_length_are_read_or_refused_as_python_reads_them(
    kind: pa.DataType, behind: str
) -> None:
    low, high = (-(2**63), 2**63 - 1) if kind == pa.int64() else (0, 2**64 - 1)
    digits = ["", "0", "00", "07", "1"] + ["9" * size for size in range(1, 22)]
    digits += ["1" + "0" * size for size in range(1, 21)]
    digits += [str(2**63 + add) for add in (-1, 0, 1)] + [str(2**64 + add) for add in (-1, 0, 1)]
    for text in [sign + each + behind for sign in ("", "-") for each in digits]:
        try:
            wanted = json.loads(text)
        except ValueError:
            wanted = None
        if not isinstance(wanted, int) or not low <= wanted <= high:
            wanted = None
        decoder = ms.Json(pa.schema({"n": kind}), clash="null", malformed="null").decoder()
        value = b'{"n":' + text.encode() + b"}"
        found = decoder(pa.array([value]), str)["n"][0].as_py()
        assert found == wanted, text


def test_text_of_every_length_is_copied_to_the_last_byte_of_the_data() -> None:
    alphabet = "".join(map(chr, range(48, 123))).replace("\\", "")
    texts = [(alphabet * 5)[size % 7 : size % 7 + size] for size in range(330)]
    for start in (0, 13):  # what is before it moves the steps
        values = [b'{"a":"' + text.encode() + b'"}' for text in texts[start:]]
        assert decode(values, a=pa.string())["a"].to_pylist() == texts[start:]
        for value, text in zip(values[::11], texts[start::11], strict=True):  # alone: the last
            assert decode([value], a=pa.string())["a"].to_pylist() == [text]


@pytest.mark.parametrize("sizes", [(3, 3000), (3000, 3), (0, 700), (40, 41)])
def test_text_whose_length_changes_on_the_way_gets_the_room(sizes: tuple[int, int]) -> None:
    texts = ["x" * sizes[0]] * 500 + ["y" * sizes[1]] * 500 + ["é" * sizes[0]] * 500
    values = [json.dumps({"a": text}).encode() for text in texts]
    assert decode(values, a=pa.string())["a"].to_pylist() == texts


def test_text_that_grows_when_it_is_escaped_gets_the_room() -> None:
    texts = ["\x00" * 500] * 200
    assert encode(texts) == [
        json.dumps({"a": text}, separators=(",", ":")).encode() for text in texts
    ]


def test_writing_lets_other_threads_run() -> None:
    batch = pa.record_batch({"a": pa.array(["x" * 1000] * 50_000)})
    counted, over = 0, threading.Event()

    def count() -> None:
        nonlocal counted
        while not over.is_set():
            counted += 1

    with ThreadPoolExecutor(2) as pool:
        counting = pool.submit(count)
        found = list(pool.map(lambda _: ms.Json().encode(batch, used=frozenset()), range(4)))
        over.set()
        counting.result()
    assert counted
    assert all(each.equals(found[0]) for each in found)
