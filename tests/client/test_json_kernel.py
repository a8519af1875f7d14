"""JSON to columns by a schema: against Python's own ``json``, exactness, and the rules."""

# ruff: noqa: E501 - tables of cases read better as rows

from __future__ import annotations

import datetime
import decimal
import json
import math
import random
import re
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.client.json_plan import compile_json
from mainstem.kernels import JsonPlan

UTC = datetime.UTC


def place(row: int) -> str:
    return f"row {row}"


def read(values: list[bytes | None], schema: Any = None, **rules: Any) -> list[Any]:
    columns = ms.Json(schema, **rules).decoder()(pa.array(values, pa.binary()), place)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    batch.validate(full=True)
    return batch.to_pylist()


def one(text: str | bytes, kind: Any, **rules: Any) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return read([b'{"x":' + data + b"}"], pa.schema([("x", kind)]), **rules)[0]["x"]


# --- whatever Python writes ----------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def fits(found: Any, wanted: Any) -> bool:
    """Whether a column's value is what JSON said; with no common type it is JSON text."""
    if wanted is None:
        return found is None
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(fits(found[name], value) for name, value in wanted.items()) and all(
            found[name] is None for name in found.keys() - wanted.keys()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(fits, found, wanted))
    if isinstance(wanted, str):
        return bool(found == wanted)
    if isinstance(found, str):
        return bool(json.loads(found) == wanted)
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


@given(st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=5), st.booleans())
@settings(deadline=None, max_examples=200)
def test_without_a_schema_nothing_is_lost(rows: list[dict[str, Any]], escape: bool) -> None:
    values = [json.dumps(row, ensure_ascii=escape, indent=1).encode() for row in rows]
    found = read(values)
    for got, wanted in zip(found, rows, strict=False):
        renamed = {(f"payload.{n}" if n in NAMES else n): v for n, v in wanted.items()}
        assert fits(got, renamed)


NAMES = {"_key", "_timestamp", "_headers", "_partition", "_topic", "_offset", "_error"}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(deadline=None, max_examples=300)
def test_numbers_are_the_nearest_there_are(numbers: list[float]) -> None:
    values = [b'{"x":%s}' % repr(number).encode() for number in numbers]
    found = read(values, pa.schema([("x", pa.float64())]))
    assert [str(row["x"]) for row in found] == [str(number) for number in numbers]


@pytest.mark.slow
def test_numbers_of_any_length_are_the_nearest_there_are() -> None:
    source = random.Random(5)
    for _ in range(3000):
        digits = "".join(source.choices("0123456789", k=source.randint(1, 40))).lstrip("0") or "0"
        text = f"{digits}.{source.randint(0, 10**12)}e{source.randint(-330, 290)}"
        wanted = float(text)
        if math.isinf(wanted):
            assert one(text, pa.float64(), clash="null") is None, text
        else:
            assert one(text, pa.float64()) == wanted, text


def test_damaged_text_is_refused_where_python_refuses_it() -> None:
    source = random.Random(11)
    schema = pa.schema([("a", pa.int64()), ("s", pa.string()), ("l", pa.list_(pa.float64()))])
    good = b'{"a": -12, "s": "x\\u00e9\\n\xc3\xa9", "l": [1.5, null, 2e3], "more": {"k": [true]}}'
    values = []
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(source.randint(1, 3)):
            data[source.randrange(len(data))] = source.choice(
                b'{}[]",:\\0x1e.- \x00\x1f\xff\xc3tfnu'
            )
        values.append(bytes(data[: source.choice([len(data), source.randint(0, len(data))])]))
    found = read(values, schema, malformed="null", clash="null")
    for value, row in zip(values, found, strict=True):
        wanted = _python(value)
        if wanted is None:
            assert row == {"a": None, "s": None, "l": None}, value
        else:
            for name, kinds in (("a", int), ("s", str), ("l", list)):
                held = wanted.get(name)
                if type(held) is kinds and (name != "a" or -(2**63) <= held < 2**63):
                    if name == "l":
                        held = [
                            v if isinstance(v, (int, float)) and not isinstance(v, bool) else None
                            for v in held
                        ]
                        if any(isinstance(v, int) and float(v) != v for v in held):
                            continue
                    assert row[name] == held, value


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_msgspec_reads_we_read_alike(seed: int) -> None:
    """Random objects, cut and damaged: both refuse, or both have the same members."""
    source = random.Random(seed)
    pieces = [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"b"', b"1", b"-1", b"0", b"1.5", b"1e5",
              b"true", b"false", b"null", b'"\\u0041"', b'"\\ud800"', b'"\\ud83d\\ude00"', b" ",
              b'"\xc3\xa9"', b'"\xff"', b'"\t"', b'"\\t"', b"01", b"1.", b".5", b"-", b"+1", b"NaN",
              b"9007199254740993", b"1e400", b'"', b"\\", b"\x00"]  # fmt: skip
    values = []
    for _ in range(6000):
        if source.random() < 0.5:
            value = b"".join(source.choices(pieces, k=source.randint(0, 8)))
            values.append(b'{"a":' + value + b"}")
        else:
            made = json.dumps(_random(source, 3)).encode()
            data = bytearray(b'{"a":' + made + b', "b" : 1}')
            for _ in range(source.randint(0, 2)):
                data[source.randrange(len(data))] = source.choice(b'{}[],:"\\019.eE-+tfn\xff ')
            values.append(bytes(data))
    plain = pa.schema([pa.field("a", pa.string(), metadata={b"mainstem.json": b"mixed"})])
    found = read(values, plain, malformed="null")
    accepted = 0
    for value, row in zip(values, found, strict=True):
        wanted = _python(value)
        try:
            members = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            members = None
        if wanted is None or not isinstance(members, dict):
            # Each refuses one thing more: we and Python text that no UTF-8 has, msgspec 1e400.
            assert row["a"] is None or wanted is not None, value
            continue
        if not isinstance(wanted.get("a"), str) and row["a"] is not None:
            assert json.loads(row["a"]) == wanted["a"] == members["a"], value
        else:
            assert row["a"] == wanted.get("a"), value
        accepted += 1
    assert accepted > 1000


def _random(source: random.Random, depth: int) -> Any:
    kind = source.randrange(7 if depth else 5)
    if kind == 5:
        return [_random(source, depth - 1) for _ in range(source.randint(0, 3))]
    if kind == 6:
        return {f"k{at}": _random(source, depth - 1) for at in range(source.randint(0, 3))}
    return [None, True, source.randint(-(2**70), 2**70), source.uniform(-1e9, 1e9), "é\n"][kind]


def _python(value: bytes) -> dict[str, Any] | None:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in found}) < len(found):
            raise ValueError("twice")
        return dict(found)

    def constant(name: str) -> Any:
        raise ValueError(name)

    try:
        text = value.decode()
        text.encode("utf-16-le", "strict")
        found = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        json.dumps(found, ensure_ascii=False).encode()  # lone surrogates
        return found if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return None


# --- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("127", pa.int8(), 127),
        ("-128", pa.int8(), -128),
        ("255", pa.uint8(), 255),
        ("-0", pa.uint8(), 0),
        ("-9223372036854775808", pa.int64(), -(2**63)),
        ("18446744073709551615", pa.uint64(), 2**64 - 1),
        ("1", pa.float64(), 1.0),
        ("9007199254740992", pa.float64(), 2.0**53),
        ("100000000000000000000", pa.float64(), 1e20),
        ("16777216", pa.float32(), 2.0**24),
        ("0.1", pa.float32(), 0.10000000149011612),
        ("1e-400", pa.float64(), 0.0),
        ("1.50", pa.decimal128(5, 2), decimal.Decimal("1.50")),
        ('"-1.5"', pa.decimal128(5, 2), decimal.Decimal("-1.50")),
        ("15e-1", pa.decimal128(5, 2), decimal.Decimal("1.50")),
        ("1.5000", pa.decimal128(5, 2), decimal.Decimal("1.50")),
        ("123.45" + "0" * 60, pa.decimal128(5, 2), decimal.Decimal("123.45")),
        ("0." + "0" * 2000, pa.decimal128(5, 2), decimal.Decimal("0.00")),
        ("0." + "9" * 38, pa.decimal128(38, 38), decimal.Decimal("0." + "9" * 38)),
        ("7", pa.decimal32(3, 1), decimal.Decimal("7.0")),
        ("99999999999999999999999999999999999999", pa.decimal128(38, 0), decimal.Decimal(10**38 - 1)),
        ('"2020-02-29"', pa.date32(), datetime.date(2020, 2, 29)),
        ('"1969-12-31"', pa.date64(), datetime.date(1969, 12, 31)),
        ('"0001-01-01"', pa.date32(), datetime.date(1, 1, 1)),
        ('"23:59"', pa.time32("s"), datetime.time(23, 59)),
        ('"23:59:58.125"', pa.time64("us"), datetime.time(23, 59, 58, 125000)),
        ('"2020-01-01T00:00:00Z"', pa.timestamp("s", "UTC"), datetime.datetime(2020, 1, 1, tzinfo=UTC)),
        ('"2020-01-01T02:30:00.5+02:30"', pa.timestamp("ms", "UTC"), datetime.datetime(2020, 1, 1, microsecond=500000, tzinfo=UTC)),
        ('"2019-12-31 19:00-0500"', pa.timestamp("us", "UTC"), datetime.datetime(2020, 1, 1, tzinfo=UTC)),
        ('"2020-01-01T00:00:00.120000"', pa.timestamp("ms"), datetime.datetime(2020, 1, 1, microsecond=120000)),  # noqa: DTZ001
        ('"2020-01-01"', pa.timestamp("s"), datetime.datetime(2020, 1, 1)),  # noqa: DTZ001
        ('"/wA="', pa.binary(), b"\xff\0"),
        ('""', pa.large_binary(), b""),
        ('"aGk="', pa.binary(2), b"hi"),
        ('"\\u00e9\\ud83d\\ude00\\/"', pa.string(), "é😀/"),
        ('"x"', pa.dictionary(pa.int32(), pa.string()), "x"),
        ('"x"', pa.large_string(), "x"),
        ("[1,null]", pa.large_list(pa.int32()), [1, None]),
        ('{"a":1,"b":null}', pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", None)]),
        ('{"b":[{"c":true}]}', pa.struct([("b", pa.list_(pa.struct([("c", pa.bool_())])))]), {"b": [{"c": True}]}),
        ("null", pa.null(), None),
    ],
)  # fmt: skip
def test_what_a_type_can_hold_is_read(text: str, kind: Any, value: Any) -> None:
    assert one(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("128", pa.int8()),
        ("-1", pa.uint8()),
        ("9223372036854775808", pa.int64()),
        ("18446744073709551616", pa.uint64()),
        ("1.0", pa.int64()),
        ("1e2", pa.int64()),
        ('"1"', pa.int64()),
        ("true", pa.int64()),
        ("1", pa.bool_()),
        ('"true"', pa.bool_()),
        ("5", pa.string()),
        ("[]", pa.string()),
        ("9007199254740993", pa.float64()),
        ("16777217", pa.float32()),
        ("1e999", pa.float64()),
        ("1e39", pa.float32()),
        ('"1.5"', pa.float64()),
        ("1.005", pa.decimal128(5, 2)),
        ("1000", pa.decimal128(5, 2)),
        ("9" * 39, pa.decimal128(38, 0)),
        ("9" * 40, pa.decimal128(38, 2)),
        ("1" + "0" * 38, pa.decimal128(38, 0)),
        ("1e38", pa.decimal128(38, 0)),
        ("0." + "0" * 50 + "1", pa.decimal128(38, 38)),
        ("1e100", pa.decimal128(5, 2)),
        ('"1,5"', pa.decimal128(5, 2)),
        ('""', pa.decimal128(5, 2)),
        ('"2021-02-29"', pa.date32()),
        ('"2021-13-01"', pa.date32()),
        ('"2021-01-01x"', pa.date32()),
        ('"1900-02-29"', pa.date32()),
        ("18000", pa.date32()),
        ('"24:00"', pa.time32("s")),
        ('"12:00:00.5"', pa.time32("s")),
        ('"12:00:00."', pa.time64("us")),
        ('"2020-01-01T00:00:00"', pa.timestamp("s", "UTC")),
        ('"2020-01-01T00:00:00Z"', pa.timestamp("s")),
        ('"2020-01-01"', pa.timestamp("s", "UTC")),
        ('"2020-01-01T00:00:00.0001Z"', pa.timestamp("ms", "UTC")),
        ('"2020-01-01T00:00:00+2"', pa.timestamp("ms", "UTC")),
        ('"2020-01-01T00:00:60Z"', pa.timestamp("ms", "UTC")),
        ('"2500-01-01T00:00:00Z"', pa.timestamp("ns", "UTC")),
        ('"2262-04-11T23:47:16.854775808Z"', pa.timestamp("ns", "UTC")),
        ('"1677-09-21T00:12:43.145224191Z"', pa.timestamp("ns", "UTC")),
        ("1577836800", pa.timestamp("s", "UTC")),
        ('"aGk"', pa.binary()),
        ('"aG=k"', pa.binary()),
        ('"aGl="', pa.binary()),
        ('"a-k="', pa.binary()),
        ('{"0":1}', pa.list_(pa.int64())),
        ("[1]", pa.struct([("a", pa.int64())])),
        ("1", pa.null()),
    ],
)
def test_what_a_type_cannot_hold_is_a_clash(text: str, kind: Any) -> None:
    with pytest.raises(ms.Corrupt, match="row 0: x: the value does not fit its type") as found:
        one(text, kind)
    assert found.value.code == 87
    assert one(text, kind, clash="null") is None
    aside: list[Any] = []
    schema = pa.schema([("x", kind)])
    columns = ms.Json(schema, clash="side", side=aside.append).decoder()(
        pa.array([b'{"x":%s}' % text.encode()]), place
    )
    assert columns.rejected.rows == [0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [pa.duration("s"), pa.decimal256(50, 2), pa.map_(pa.int64(), pa.int64()),
                                  pa.struct([("a", pa.int8()), ("a", pa.int8())])], ids=str)  # fmt: skip
def test_a_type_that_json_lacks_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(ms.Invalid, match="column 'x'"):
        ms.Json(pa.schema([("x", kind)]))


# --- rules ---------------------------------------------------------------------------------------

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.struct([("c", pa.string())]))])
GOOD = b'{"a":1,"b":{"c":"x"}}'
CASES = {
    "missing": (b'{"a":1}', "b: the member is missing"),
    "missing inside": (b'{"a":1,"b":{}}', "b.c: the member is missing"),
    "extra": (b'{"a":1,"b":{"c":"x"},"d":0}', "d: the schema has no such member"),
    "extra inside": (b'{"a":1,"b":{"c":"x", "e" : {}}}', "b.e: the schema has no such member"),
    "clash": (b'{"a":"1","b":{"c":"x"}}', r"a: the value does not fit its type \(int64\)"),
    "clash inside": (b'{"a":1,"b":{"c":7}}', r"b\.c: the value does not fit its type \(string\)"),
    "malformed": (b'{"a":1', "it is not a JSON object"),
    "malformed twice": (b'{"a":1,"a":1}', "a: the member occurs twice"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_bad_is_an_error_where_that_is_asked_for(case: str) -> None:
    value, reason = CASES[case]
    rule = {case.split(maxsplit=1)[0]: "error"}
    with pytest.raises(ms.Corrupt, match=f"row 2: {reason}"):
        read([GOOD, None, value, GOOD], SCHEMA, **rule)


@pytest.mark.parametrize("case", CASES)
def test_what_is_bad_goes_aside_where_that_is_asked_for(case: str) -> None:
    value, reason = CASES[case]
    aside: list[Any] = []
    rule = {case.split(maxsplit=1)[0]: "side"}
    decoder = ms.Json(SCHEMA, **rule, side=aside.append).decoder()
    found = decoder(pa.array([GOOD, value, None, GOOD]), place)
    rejected = found.rejected  # type: ignore[attr-defined]
    assert rejected.rows == [1]
    assert re.match(reason, rejected.reasons[0])
    assert found["a"].to_pylist() == [1, None, None, 1]


def test_by_default_members_may_be_missing_and_extra() -> None:
    assert read([b'{"z":{"y":[1,{}]},"a":1}', b"{}"], SCHEMA) == [
        {"a": 1, "b": None},
        {"a": None, "b": None},
    ]


def test_bad_records_may_be_null() -> None:
    values = [GOOD, b'{"a":1,', b"", b'{"a":"x"}']
    found = read(values, SCHEMA, malformed="null", clash="null")
    assert [row["a"] for row in found] == [1, None, None, None]


def test_a_clash_inside_leaves_the_rest_of_the_record() -> None:
    schema = pa.schema([("l", pa.list_(pa.int64())), ("m", pa.map_(pa.string(), pa.bool_()))])
    value = b'{"l":[1,"x",{"deep":[1]},4],"m":{"a":1,"b":true}}'
    assert read([value], schema, clash="null") == [
        {"l": [1, None, None, 4], "m": [("a", None), ("b", True)]}
    ]


def test_without_a_schema_bad_records_can_go_aside() -> None:
    aside: list[Any] = []
    decoder = ms.Json(malformed="side", side=aside.append).decoder()
    found = decoder(pa.array([b'{"a":1}', b"x", b'{"b":2}']), place)
    assert found["a"].to_pylist() == [1, None, None]
    assert found["b"].to_pylist() == [None, None, 2]
    assert found.rejected.rows == [1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"missing": "drop"}, "missing='drop'"),
        ({"extra": "null"}, "extra='null'"),
        ({"clash": "side"}, "belong together"),
        ({"side": print}, "belong together"),
    ],
)
def test_rules_that_do_not_exist_are_refused(rules: Any, reason: str) -> None:
    with pytest.raises(ms.Invalid, match=reason):
        ms.Json(SCHEMA, **rules)
    with pytest.raises(ms.Invalid, match="about a schema"):
        ms.Json(missing="error")


def test_bad_json_goes_to_a_topic(make_topic: Any) -> None:
    topic, letters = make_topic(), make_topic()
    topic.append([GOOD, b'{"a":"x"}', b"junk", GOOD])
    payload = ms.Json(SCHEMA, clash="side", malformed="side", side=letters.append)
    assert sum(batch.num_rows for batch in topic.read(format=payload)) == 2
    (batch,) = letters.read()
    assert batch.column("value").to_pylist() == [b'{"a":"x"}', b"junk"]


# --- inference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (["1", "1.5"], pa.float64(), [1.0, 1.5]),
        (["9007199254740993", "1.5"], pa.string(), ["9007199254740993", "1.5"]),
        (["18446744073709551615", "1"], pa.string(), ["18446744073709551615", "1"]),
        (["1e999"], pa.string(), ["1e999"]),
        (['"x"', "1", "[1, 2]", "null"], pa.string(), ["x", "1", "[1, 2]", None]),
        (["true", "1"], pa.string(), ["true", "1"]),
        (['"2020-01-01"'], pa.string(), ["2020-01-01"]),
        (["[]", "[[]]", "[[1]]"], pa.list_(pa.list_(pa.int64())), [[], [[]], [[1]]]),
        (['[1, "x"]'], pa.list_(pa.string()), [["1", "x"]]),
        (["{}", '{"a":1}'], pa.struct([("a", pa.int64())]), [{"a": None}, {"a": 1}]),
    ],
)
def test_types_hold_exactly_what_is_there(values: list[str], kind: Any, found: Any) -> None:
    columns = ms.Json().decoder()(pa.array([b'{"x":%s}' % v.encode() for v in values]), place)
    assert columns["x"].type == kind
    assert columns["x"].to_pylist() == found


def test_objects_without_end_of_names_need_a_schema() -> None:
    values = [b'{"%d":1}' % number for number in range(10_001)]
    with pytest.raises(ms.Corrupt, match="more than 10000 different members"):
        read(values)


def test_deep_nesting_is_malformed_not_a_crash() -> None:
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for schema in (None, pa.schema([("y", pa.int64())])):
        with pytest.raises(ms.Corrupt, match="row 0"):
            read([deep], schema)


@pytest.mark.parametrize(
    "ops",
    [
        [],
        [(3, 0, 0, 0, [])],
        [(13, -1, 0, 0, [])],
        [(13, -1, 0, 0, [1]), (99, 0, 0, 0, [])],
        [(13, -1, 0, 0, [1]), (2, 0, 32, 1, [])],
        [(13, -1, 0, 0, [1]), (3, 5, 0, 0, [])],
        [(13, -1, 0, 0, [1]), (8, 0, 4, 0, [])],
        [(13, -1, 0, 0, [1]), (12, 0, 0, 0, [])],
    ],
)
def test_a_plan_that_does_not_fit_its_columns_is_refused(ops: Any) -> None:
    with pytest.raises(ValueError, match=r"plan|operation"):
        JsonPlan(ops, [b""] * len(ops), [(2, 8, [])])


def test_the_first_and_last_nanosecond_are_read() -> None:
    for text, number in (
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("1677-09-21T00:12:43.145224192Z", -(2**63)),
    ):
        kind = pa.timestamp("ns", "UTC")
        found = ms.Json(pa.schema([("x", kind)])).decoder()(
            pa.array([f'{{"x":"{text}"}}'.encode()]), place
        )
        assert found["x"].cast(pa.int64()).to_pylist() == [number]


def test_decimals_are_pythons_own_or_a_clash() -> None:
    source = random.Random(7)
    for _ in range(3000):
        precision = source.randint(1, 38)
        scale = source.randint(0, precision)
        digits = "".join(source.choices("0123456789", k=source.randint(1, 42))).lstrip("0") or "0"
        cut = source.randint(0, 6)
        text = f"{'-' * source.randint(0, 1)}{digits}"
        text += "." + "".join(source.choices("0005", k=cut)) if cut else ""
        text += f"e{source.randint(-40, 40)}" if source.random() < 0.4 else ""
        with decimal.localcontext(prec=200):
            wanted = decimal.Decimal(text)
            unit = decimal.Decimal(1).scaleb(-scale)
            fits = wanted == wanted.quantize(unit) and abs(wanted) < 10 ** (precision - scale)
        found = one(text, pa.decimal128(precision, scale), clash="null")
        if found is not None:
            assert fits, (text, precision, scale, found)
            assert found == wanted, (text, precision, scale)
        elif fits and len(digits) <= precision:
            assert "e" in text, (text, precision, scale)


def test_a_malformed_record_leaves_the_columns_alone() -> None:
    decoder = ms.Json(malformed="null").decoder()
    found = decoder(pa.array([b'{"a":1}', b'{"b":2', b'{"c":3}}', b'{"a":"x"']), place)
    assert {name: column.to_pylist() for name, column in found.items()} == {
        "a": [1, None, None, None]
    }


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ms.Invalid, match="two columns 'a'"):
        ms.Json(pa.schema([("a", pa.int64()), ("a", pa.string())]))
    with pytest.raises(ms.Corrupt, match="would be one column"):
        read([b'{"_key":1,"payload._key":2}'])


def test_many_members_are_found_whatever_their_order() -> None:
    names = [f"m{at}" for at in range(500)]
    schema = pa.schema([(name, pa.int64()) for name in names])
    source = random.Random(3)
    for _ in range(5):
        source.shuffle(names)
        value = json.dumps({name: int(name[1:]) for name in names}).encode()
        assert read([value], schema)[0] == {f"m{at}": at for at in range(500)}
    assert compile_json(schema).schema.equals(schema)
