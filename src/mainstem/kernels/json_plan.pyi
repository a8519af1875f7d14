from collections.abc import Sequence
from typing import final

from mainstem.kernels.payload_columns import Shape

@final
class JsonPlan:
    shapes: list[Shape]
    def __init__(
        self,
        ops: Sequence[tuple[int, int, int, int, Sequence[int]]],
        names: Sequence[bytes],
        shapes: list[Shape],
    ) -> None: ...
