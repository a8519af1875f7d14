from mainstem.kernels.columns import BinaryColumn, Memory

def split_frames(
    values: BinaryColumn, with_path: bool
) -> tuple[Memory, list[bytes], list[int]]: ...
