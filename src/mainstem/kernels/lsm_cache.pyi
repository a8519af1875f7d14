from collections.abc import Iterable
from typing import final

from mainstem.kernels.lsm_blocks import Block
from mainstem.kernels.lsm_run import Run

@final
class Clock:
    used: int
    evictions: int
    def __len__(self) -> int: ...
    def add(self, run: Run, numbers: Iterable[int], blocks: list[Block], budget: int) -> None: ...
    def shrink(self, budget: int) -> None: ...
    def forget(self, run: Run) -> None: ...
