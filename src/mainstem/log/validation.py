"""What a batch must be before it may be stored, without opening its records.

Kafka error codes are those of ``org.apache.kafka.common.protocol.Errors``; the rules those of
LogValidator and ProduceRequest.
"""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.errors import Corrupt, Denied, Invalid
from mainstem.kernels import (
    HEADER_SIZE,
    BatchError,
    BatchHeader,
    first_without_key,
    read_batches,
)
from mainstem.log.config import LogConfig

CORRUPT_MESSAGE = 2
MESSAGE_TOO_LARGE = 10
RECORD_LIST_TOO_LARGE = 18
INVALID_TIMESTAMP = 32
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
INVALID_RECORD = 87
_LAST_CODEC = 4
_NO_TIMESTAMP = -1
#: What the records of one batch may decompress to.
_MAX_RECORDS_BYTES = 256 << 20


def parse_batches(data: memoryview, start: int, end: int) -> list[BatchHeader]:
    """Headers of the whole batches in ``data[start:end]``, CRC checked."""
    try:
        return read_batches(data, start, end)
    except BatchError as error:
        if error.reason in ("size", "crc"):
            raise Corrupt(str(error), code=CORRUPT_MESSAGE) from error
        raise Invalid(str(error), code=INVALID_RECORD) from error


def check_batches(
    headers: Sequence[BatchHeader], start: int, end: int, config: LogConfig, now_ms: int
) -> None:
    """Refuse what may not be stored; changes nothing. Raises ``Invalid``."""
    position = start
    for header in headers:
        if header.position != position:
            raise Invalid(f"no batch header was given for byte {position}", code=INVALID_RECORD)
        position += header.size
        if header.size > config.max_message_bytes:
            raise Invalid(
                f"a record batch of {header.size} bytes is larger than max.message.bytes "
                f"{config.max_message_bytes}: send smaller batches",
                code=MESSAGE_TOO_LARGE,
            )
        attributes = header.attributes
        if attributes & 0x30 or attributes & 7 > _LAST_CODEC or header.producer_id >= 0:
            _check_attributes(header, len(headers))
        if config.timestamp_type == "CreateTime":
            _check_timestamps(header, config, now_ms)
    if not headers or position != end:
        raise Invalid(
            f"batch headers cover bytes {start} to {position} of {start} to {end}",
            code=INVALID_RECORD,
        )
    if end - start > config.segment_bytes:
        raise Invalid(
            f"{end - start} bytes in one append are more than segment.bytes {config.segment_bytes}",
            code=RECORD_LIST_TOO_LARGE,
        )


def _check_attributes(header: BatchHeader, count: int) -> None:
    if header.transactional:
        # Without a coordinator nobody could ever commit or abort it. As for InitProducerId.
        raise Denied(
            "this broker has no transactions; send without the transactional bit",
            code=TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        )
    problem = None
    if header.control:
        problem = "clients may not write control batches"
    elif header.codec > _LAST_CODEC:
        problem = f"compression codec {header.codec} is not defined"
    elif header.base_sequence < 0 or header.producer_epoch < 0:
        problem = (
            f"producer {header.producer_id} sent sequence {header.base_sequence} and epoch "
            f"{header.producer_epoch}; neither may be negative"
        )
    elif count > 1:
        # ProduceRequest.validateRecords: one batch, or a retry could be half a duplicate.
        problem = f"an idempotent producer must send one batch per partition, not {count}"
    if problem:
        raise Invalid(problem, code=INVALID_RECORD)


def _check_timestamps(header: BatchHeader, config: LogConfig, now_ms: int) -> None:
    """As LogValidator.validateTimestamp, on the batch's first and largest timestamp."""
    latest = header.max_timestamp
    if latest - now_ms > config.message_timestamp_after_max_ms:
        raise Invalid(
            f"timestamp {latest} is further ahead of the broker's clock ({now_ms}) than "
            f"message.timestamp.after.max.ms {config.message_timestamp_after_max_ms}",
            code=INVALID_TIMESTAMP,
        )
    earliest = header.base_timestamp
    if earliest != _NO_TIMESTAMP and now_ms - earliest > config.message_timestamp_before_max_ms:
        raise Invalid(
            f"timestamp {earliest} is further behind the broker's clock ({now_ms}) than "
            f"message.timestamp.before.max.ms {config.message_timestamp_before_max_ms}",
            code=INVALID_TIMESTAMP,
        )


def check_keys(data: memoryview, headers: Sequence[BatchHeader]) -> None:
    """For compacted topics, where a record without a key has no place (LogValidator)."""
    for header in headers:
        records = data[header.position + HEADER_SIZE : header.position + header.size]
        try:
            if header.codec:
                from mainstem.wire import decompress

                records = memoryview(
                    decompress(header.codec, records, limit=_MAX_RECORDS_BYTES)
                ).cast("B")
            missing = first_without_key(records, header.record_count)
        except BatchError as error:
            raise Invalid(
                f"the records of a batch for a compacted topic cannot be read: {error}",
                code=INVALID_RECORD,
            ) from error
        if missing >= 0:
            raise Invalid(
                f"record {missing} of a batch has no key, and the topic is compacted: give every "
                "record a key",
                code=INVALID_RECORD,
            )
