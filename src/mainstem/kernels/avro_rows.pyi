from collections.abc import Sequence
from typing import final

from mainstem.kernels.columns import BinaryColumn, Memory
from mainstem.kernels.payload_columns import Finished, Shape, Sources

@final
class AvroPlan:
    shapes: list[Shape]
    def __init__(
        self, ops: Sequence[tuple[int, int, int, int, Sequence[int]]], shapes: list[Shape]
    ) -> None: ...

def decode_avro(
    plan: AvroPlan, values: BinaryColumn, skip: int, stop: bool
) -> tuple[list[Finished], list[tuple[int, int, int]]]: ...
def encode_avro(
    plan: AvroPlan, sources: Sources, rows: int, prefix: bytes
) -> tuple[Memory, Memory]: ...
