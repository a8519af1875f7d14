from typing import final

from typing_extensions import Buffer

from mainstem.kernels.lsm_rows import RowList

@final
class Memtable:
    rows: int
    ordered: int
    memory: int
    seed: int
    min_stamp: int
    max_stamp: int
    def __init__(self, seed: int, expected: int = 0) -> None: ...
    def __len__(self) -> int: ...
    def insert(self, data: Buffer, position: int, spec: bytes) -> int: ...
    def sorted_rows(self, start: int, end: int) -> RowList: ...
