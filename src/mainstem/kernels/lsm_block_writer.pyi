from mainstem.kernels.columns import Memory
from mainstem.kernels.lsm_rows import RowList

def encode_blocks(
    rows: RowList,
    start: int,
    end: int,
    count: int,
    block_bytes: int,
    seed: int,
    position: int = 0,
) -> tuple[Memory, bytes, bytes, bytes, Memory, int]: ...
def measure(rows: RowList, start: int, end: int) -> tuple[int, int, int, int, int, int]: ...
def offsets_of(sizes: bytes, first: int) -> bytes: ...
