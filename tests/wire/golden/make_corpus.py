"""Writes corpus.txt: the records every golden file holds, one a line, in hexadecimal.

timestamp TAB key TAB value TAB headers (name=value, comma-separated); ``-`` is null.
"""

from __future__ import annotations

from pathlib import Path

BASE = 1_357_034_400_000
TEXT = b"the quick brown fox jumps over the lazy dog; "


def corpus() -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    sizes = [0, 1, 31, 32, 33, 63, 64, 100, 127, 128, 255, 256, 257, 8191, 8192]
    rows: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (BASE, b"key", b"value", []),
        (BASE + 1, None, b"no key", []),
        (BASE + 2, b"no value", None, []),
        (BASE + 3, None, None, []),
        (BASE + 4, b"", b"", []),
        (BASE - 86_400_000, b"a day before the first", b"x", []),
        (BASE + 10**11, b"years after", b"x", []),
        (BASE, b"\x00\xff\x80", bytes(range(256)), [("one", b"1")]),
        (
            BASE,
            b"k",
            b"v",
            [("a", b""), ("a", b"twice"), ("null", None), ("\u00e4\U0001f30a", b"\xff")],
        ),
        (BASE, b"k", None, [("", b"empty name")]),
    ]
    rows += [(BASE + i, f"{i}".encode(), (TEXT * 200)[:n], []) for i, n in enumerate(sizes)]
    rows += [
        (BASE + i, None, TEXT, [("trace", b"%d" % i)] if i % 3 == 0 else []) for i in range(80)
    ]
    return rows


def main() -> None:
    lines = []
    for timestamp, key, value, headers in corpus():
        pairs = ",".join(f"{name.encode().hex()}={_hex(content)}" for name, content in headers)
        lines.append(f"{timestamp}\t{_hex(key)}\t{_hex(value)}\t{pairs}\n")
    Path(__file__).with_name("corpus.txt").write_text("".join(lines))


def _hex(data: bytes | None) -> str:
    return "-" if data is None else data.hex()


if __name__ == "__main__":
    main()
