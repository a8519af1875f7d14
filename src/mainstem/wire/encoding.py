"""Arrow columns into record batches v2: one kernel call per batch, compression in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mainstem.errors import Invalid
from mainstem.kernels import Memory, encode_records, seal
from mainstem.wire.columns import RecordSource, record_source
from mainstem.wire.compression import compress

_HEADER_SIZE: Final = 61
_CODEC_AT: Final = 22
_LARGEST_BATCH: Final = 2**31 - 1
_MESSAGE_TOO_LARGE: Final = 10
_SEQUENCES: Final = 2**31
_MOST_TIMES: Final = 3  # batch_bytes before compression: larger ones fall out of readers' caches
_CAUTION: Final = 0.75  # of how much smaller the last batch became


class Squeeze:
    """How many times ``batch_bytes`` rows may be and fit when compressed, learnt from batches.

    As Apache Kafka's ``CompressionRatioEstimator``: one per topic and codec. Threads may share it;
    when two learn at once, one is forgotten, and a wrong guess costs one more compression.
    """

    __slots__ = ("times",)

    def __init__(self) -> None:
        self.times = 1.0

    def learn(self, plain: int, packed: int) -> None:
        """A batch of ``plain`` bytes was ``packed`` bytes compressed."""
        self.times = min(max(1.0, _CAUTION * plain / packed), _MOST_TIMES)


def encode_batch(
    value: Any,
    key: Any = None,
    timestamp: Any = None,
    headers: Any = None,
    *,
    codec: int = 0,
    level: int | None = None,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    now_ms: int,
) -> bytearray:
    """All rows as one record batch v2, complete with CRC, base offset 0.

    ``value`` and ``key`` are Arrow arrays of bytes or text (any layout, sliced or chunked);
    ``timestamp`` is an Arrow timestamp, date or integer column (milliseconds), nulls and None
    meaning ``now_ms``; ``headers`` is list<struct<key, value>> or map, null meaning none. Raises
    ``Invalid`` for other types, unequal lengths, no rows, a null header key, or more than fits
    into one batch (code 10). Thread-safe.
    """
    source = record_source(value, key, timestamp, headers, now_ms)
    if source.rows == 0:
        raise Invalid("a record batch needs at least one row")
    batch, rows = _encode(source, 0, _LARGEST_BATCH, codec, level)
    if rows != source.rows:
        raise Invalid(
            f"{source.rows} rows do not fit into one record batch of 2 GiB; split them after "
            f"row {rows} or use encode_batches",
            code=_MESSAGE_TOO_LARGE,
        )
    seal(
        batch,
        codec,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        transactional=transactional,
    )
    return bytearray(batch)


def encode_batches(
    value: Any,
    key: Any = None,
    timestamp: Any = None,
    headers: Any = None,
    *,
    batch_bytes: int,
    codec: int = 0,
    level: int | None = None,
    squeeze: Squeeze | None = None,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    now_ms: int,
) -> Iterator[memoryview]:
    """Rows in order as record batches of at most ``batch_bytes`` each, as they are sent.

    Compressed ones hold up to three times as much before compression, if ``squeeze`` (or the
    batches before) says that they will fit. Without a codec, and where compression gains
    nothing, it is the size before it. A record that is larger by itself gets a batch of its
    own. ``base_sequence`` is the first batch's; it goes on by the number of records and wraps
    to 0 after 2**31 - 1, as Kafka's does; ``kernels.number`` can write it and the other fields
    of a producer later. Columns and errors as for ``encode_batch``; columns are checked before
    the first batch is asked for. The views are writable.
    """
    source = record_source(value, key, timestamp, headers, now_ms)
    squeeze = squeeze or Squeeze()

    def batches() -> Iterator[memoryview]:
        row, sequence = 0, base_sequence
        while row < source.rows:
            target = batch_bytes if codec == 0 else int(batch_bytes * squeeze.times)
            batch, rows = _encode(source, row, target, codec, level, squeeze)
            if len(batch) > batch_bytes < target and rows > 1:  # a wrong guess
                squeeze.times = 1.0
                batch, rows = _encode(source, row, batch_bytes, codec, level, squeeze)
            seal(
                batch,
                codec,
                producer_id=producer_id,
                producer_epoch=producer_epoch,
                base_sequence=sequence,
                transactional=transactional,
            )
            row += rows
            if sequence >= 0:
                sequence = (sequence + rows) % _SEQUENCES
            yield batch

    return batches()


def _encode(
    source: RecordSource,
    row: int,
    target: int,
    codec: int,
    level: int | None,
    squeeze: Squeeze | None = None,
) -> tuple[memoryview, int]:
    """One batch, its CRC still to be computed, and its rows."""
    try:
        batch, rows = encode_records(
            source.values,
            source.keys,
            source.headers,
            source.timestamps,
            source.now_ms,
            row,
            source.rows,
            target,
        )
        if codec == 0:
            return memoryview(batch), rows
        with memoryview(batch) as plain:
            body = memoryview(compress(codec, plain[_HEADER_SIZE:], level))
            packed = memoryview(Memory(_HEADER_SIZE + len(body)))
            packed[:_HEADER_SIZE] = plain[:_HEADER_SIZE]
            packed[_HEADER_SIZE:] = body
            packed[_CODEC_AT] = codec
            if squeeze is not None and row + rows < source.rows:  # the last may be a small rest
                squeeze.learn(len(plain), len(packed))
            return packed, rows
    except ValueError as error:
        raise Invalid(str(error)) from error
