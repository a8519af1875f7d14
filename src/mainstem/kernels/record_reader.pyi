from typing import final

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

#: data, headers, bodies, from_offset, to_offset
Run = tuple[Buffer, list[BatchHeader], list[Buffer | None] | None, int, int]

def decode_runs(runs: list[Run]) -> tuple[RecordColumns, list[int]]: ...
def decode_records(
    data: Buffer,
    headers: list[BatchHeader],
    bodies: list[Buffer | None] | None = None,
    from_offset: int = 0,
) -> RecordColumns: ...
