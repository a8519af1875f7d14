from collections.abc import Sequence
from typing import final

from mainstem.kernels.payload_columns import Shape

@final
class AvroPlan:
    shapes: list[Shape]
    def __init__(
        self, ops: Sequence[tuple[int, int, int, int, Sequence[int]]], shapes: list[Shape]
    ) -> None: ...
