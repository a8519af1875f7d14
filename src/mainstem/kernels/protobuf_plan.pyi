from collections.abc import Sequence
from typing import final

from mainstem.kernels.payload_columns import Shape

@final
class ProtobufPlan:
    shapes: list[Shape]
    def __init__(
        self,
        tables: list[Sequence[tuple[int, int, int, int, int, int, int]]],
        shapes: list[Shape],
    ) -> None: ...
