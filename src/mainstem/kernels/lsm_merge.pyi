from collections.abc import Iterator
from typing import final

from mainstem.kernels.lsm_blocks import Block
from mainstem.kernels.lsm_ranges import Ranges
from mainstem.kernels.lsm_rows import RowList

@final
class Merger:
    rows_in: int
    rows_out: int
    def __init__(
        self,
        sources: int,
        shared: int,
        low: bytes | None,
        high: bytes | None,
        reverse: bool,
        drop_deletes: bool,
        spec: bytes,
        expire_before: int,
    ) -> None: ...
    def add(self, feed: Iterator[Block | RowList], mask: Ranges, group: int) -> None: ...
    def next_rows(self, max_rows: int, max_bytes: int) -> RowList: ...
