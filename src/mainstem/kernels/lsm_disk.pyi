from typing_extensions import Buffer

from mainstem.kernels.lsm_blocks import Block
from mainstem.kernels.lsm_run import Run

def blocks_of(run: Run, data: Buffer, first: int, end: int, copies: bool) -> list[Block] | None: ...
