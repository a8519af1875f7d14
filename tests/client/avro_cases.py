"""Random Avro schemas and values, with fastavro as the one who knows."""

from __future__ import annotations

import datetime
import decimal
import io
import itertools
import json
import random
from typing import Any

import fastavro
import pyarrow as pa

UTC = datetime.UTC
_LOGICAL = [
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 10},
    {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 5},
]
_PLAIN = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]


class Schemas:
    """Draws schemas and values from one source of randomness."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self._numbers = itertools.count()

    def record(self, depth: int = 3) -> dict[str, Any]:
        name = f"R{next(self._numbers)}"
        fields = [
            {"name": f"f{at}", "type": self.type(depth)} for at in range(self.random.randint(1, 5))
        ]
        return {"type": "record", "name": name, "fields": fields}

    def type(self, depth: int, *, in_union: bool = False) -> Any:
        draw = self.random.random()
        if depth <= 0 or draw < 0.35:
            return self.random.choice(_PLAIN)
        if draw < 0.5:
            return self.random.choice(_LOGICAL)
        if draw < 0.6:
            number = next(self._numbers)
            if self.random.random() < 0.5:
                symbols = [f"S{at}" for at in range(self.random.randint(1, 5))]
                return {"type": "enum", "name": f"E{number}", "symbols": symbols}
            return {"type": "fixed", "name": f"F{number}", "size": self.random.randint(1, 9)}
        if draw < 0.68:
            return self.record(depth - 1)
        if draw < 0.76:
            return {"type": "array", "items": self.type(depth - 1)}
        if draw < 0.84:
            return {"type": "map", "values": self.type(depth - 1)}
        return self.type(0) if in_union else self._union(depth)

    def _union(self, depth: int) -> Any:
        if self.random.random() < 0.6:
            other = self.type(depth - 1, in_union=True)
            if other == "null":
                other = "long"
            return self.random.choice([["null", other], [other, "null"]])
        # Branches that fastavro tells apart by the Python value alone.
        pool = ["null", "boolean", "long", "double", "bytes", "string"]
        return self.random.sample(pool, self.random.randint(1, 5))

    def value(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return self.value(self.random.choice(schema))
        if isinstance(schema, str):
            return self._plain(schema)
        if "logicalType" in schema:
            return self._logical(schema)
        kind = schema["type"]
        if kind == "record":
            return {field["name"]: self.value(field["type"]) for field in schema["fields"]}
        if kind == "enum":
            return self.random.choice(schema["symbols"])
        if kind == "fixed":
            return self.random.randbytes(schema["size"])
        count = self.random.choice([0, 1, 2, 5])
        if kind == "array":
            return [self.value(schema["items"]) for _ in range(count)]
        return {f"k{at}é": self.value(schema["values"]) for at in range(count)}

    def _plain(self, kind: str) -> Any:
        draw = self.random
        if kind == "null":
            return None
        if kind == "boolean":
            return draw.random() < 0.5
        if kind in {"int", "long"}:
            bits = 31 if kind == "int" else 63
            return draw.choice(
                [0, -1, 1, -(1 << bits), (1 << bits) - 1, draw.randint(-(1 << bits), 1 << 30)]
            )
        if kind == "double":
            return draw.choice([0.0, -0.0, 1e300, -1.5, float("inf"), draw.uniform(-1e6, 1e6)])
        if kind == "float":
            return draw.choice([0.0, -0.0, 1.5, -2.25, float("-inf"), draw.randint(0, 99) / 8])
        if kind == "bytes":
            return draw.randbytes(draw.choice([0, 1, 7, 40]))
        return draw.choice(["", "a", "é𝄞", "x" * 100, f"word {draw.randint(0, 999)}"])

    def _logical(self, schema: dict[str, Any]) -> Any:
        draw, kind = self.random, schema["logicalType"]
        if kind == "decimal":
            limit = 10 ** schema["precision"] - 1
            whole = draw.choice([0, 1, -1, limit, -limit, 127, 128, -129, 10**8])
            whole = max(-limit, min(limit, whole))
            with decimal.localcontext(prec=80):
                return decimal.Decimal(whole).scaleb(-schema["scale"])
        if kind == "date":
            return datetime.date(1970, 1, 1) + datetime.timedelta(days=draw.randint(-9999, 99999))
        digits = 1000 if kind.endswith("millis") else 1
        microseconds = draw.randint(0, 86_399_999_999) // digits * digits
        if kind.startswith("time-"):
            noon = datetime.datetime(2000, 1, 1, tzinfo=UTC)
            return (noon + datetime.timedelta(microseconds=microseconds)).time()
        zone = None if kind.startswith("local") else UTC
        start = datetime.datetime(1900, 1, 1, tzinfo=zone)
        return start + datetime.timedelta(days=draw.randint(0, 99999), microseconds=microseconds)


def write(schema: Any, rows: list[Any]) -> Any:
    """The rows as fastavro writes them, one record each, in a binary array."""
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    found = []
    for row in rows:
        target = io.BytesIO()
        fastavro.schemaless_writer(target, parsed, row, strict_allow_default=True)
        found.append(target.getvalue())
    return pa.array(found, pa.binary())


def read(schema: Any, values: Any, reader: Any = None) -> list[Any]:
    """The records as fastavro reads them."""
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    other = None if reader is None else fastavro.parse_schema(json.loads(json.dumps(reader)))
    return [
        fastavro.schemaless_reader(io.BytesIO(value), parsed, other) for value in values.to_pylist()
    ]


def plain(schema: Any, value: Any) -> Any:
    """An Arrow value as fastavro would have it: maps are dicts, unions their value."""
    if isinstance(schema, list):
        others = [part for part in schema if part != "null"]
        if len(others) == 1 and len(schema) == 2:
            return None if value is None else plain(others[0], value)
        if value is None:
            return None
        (name,) = [name for name, member in value.items() if member is not None] or [None]
        return None if name is None else value[name]
    if not isinstance(schema, dict) or value is None:
        return value
    if schema["type"] == "record":
        return {
            field["name"]: plain(field["type"], value[field["name"]]) for field in schema["fields"]
        }
    if schema["type"] == "array":
        return [plain(schema["items"], item) for item in value]
    if schema["type"] == "map":
        return {key: plain(schema["values"], item) for key, item in value}
    return value
