from typing import Any, final

from typing_extensions import Buffer

from mainstem.kernels.batches import BatchHeader
from mainstem.kernels.columns import Memory

@final
class HeaderColumns:
    count: int
    offsets: Memory
    key_offsets: Memory
    keys: Memory
    value_offsets: Memory
    values: Memory
    value_validity: Memory
    value_nulls: int
    ascii_keys: bool

@final
class RecordColumns:
    count: int
    offsets: Memory
    timestamps: Memory
    key_offsets: Memory
    keys: Memory
    key_validity: Memory
    key_nulls: int
    value_offsets: Memory
    values: Memory
    value_validity: Memory
    value_nulls: int
    headers: HeaderColumns | None

def decode_runs(
    runs: list[tuple[Any, list[BatchHeader], list[Buffer | None], int, int]],
) -> tuple[RecordColumns, list[int]]: ...
def decode_records(
    data: Buffer,
    headers: list[BatchHeader],
    bodies: list[Buffer | None] | None = None,
    from_offset: int = 0,
) -> RecordColumns: ...
