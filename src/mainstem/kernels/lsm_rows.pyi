from typing import Any, TypeAlias, final

from typing_extensions import Buffer

from mainstem.kernels.columns import Memory

ArrowBuffers: TypeAlias = tuple[Memory, Memory, Memory | None, int]

@final
class Column:
    length: int
    width: int
    def __init__(
        self,
        offsets: Buffer | None,
        data: Buffer | None,
        validity: Buffer | None,
        first: int,
        length: int,
        width: int,
    ) -> None: ...
    def __len__(self) -> int: ...

@final
class RowList:
    count: int
    def __len__(self) -> int: ...
    def key(self, index: int) -> bytes: ...
    def rows_in(self, low: Buffer, high: Buffer | None) -> tuple[int, int]: ...

def arrow_buffers(rows: RowList, start: int, count: int) -> tuple[ArrowBuffers, ArrowBuffers]: ...
def column_of(data: Any, width: int) -> Column: ...
def describe(rows: RowList) -> list[tuple[bytes, int, bytes, int]]: ...
