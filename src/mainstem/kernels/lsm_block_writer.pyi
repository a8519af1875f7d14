from mainstem.kernels.columns import Memory
from mainstem.kernels.lsm_rows import RowList

def encode_blocks(
    rows: RowList, start: int, end: int, count: int, block_bytes: int, seed: int
) -> tuple[Memory, list[tuple[int, int, int, bytes, int]], Memory, int]: ...
def measure(rows: RowList, start: int, end: int) -> tuple[int, int, int, int, int, int]: ...
