from typing import final

from typing_extensions import Buffer

from mainstem.kernels.lsm_rows import Column

OPERATION_HEADER: int

@final
class Operation:
    kind: int
    family: int
    rows: int
    size: int
    stamp: int
    @property
    def value_width(self) -> int: ...
    def __init__(
        self, kind: int, family: int, keys: Column, values: Column | None, stamp: int
    ) -> None: ...

def read_operation(data: Buffer, position: int) -> tuple[int, int, int, int]: ...
def read_ranges(data: Buffer, position: int) -> list[tuple[bytes, bytes | None]]: ...
