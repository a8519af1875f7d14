from collections.abc import Sequence
from typing import final

from mainstem.kernels.columns import BinaryColumn, Memory
from mainstem.kernels.payload_columns import Finished, Shape, Sources

@final
class ProtobufPlan:
    shapes: list[Shape]
    def __init__(
        self,
        tables: list[Sequence[tuple[int, int, int, int, int, int, int]]],
        shapes: list[Shape],
    ) -> None: ...

def decode_protobuf(
    plan: ProtobufPlan, values: BinaryColumn, skip: int, stop: bool
) -> tuple[list[Finished], list[tuple[int, int, int]]]: ...
def encode_protobuf(
    plan: ProtobufPlan, sources: Sources, rows: int, prefix: bytes
) -> tuple[Memory, Memory]: ...
