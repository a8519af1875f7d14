from collections.abc import Sequence
from typing import final

from typing_extensions import Buffer

from mainstem.kernels.columns import Memory

#: Storage, width, numbers of the children.
Shape = tuple[int, int, Sequence[int]]
#: Length, nulls, validity, values, data.
Finished = tuple[int, int, Memory | None, Memory | None, Memory | None]
#: A shape with offset, length, validity, values, data.
SourceShape = tuple[int, int, Sequence[int], int, int, Buffer | None, Buffer | None, Buffer | None]

@final
class Columns:
    def __init__(self, shapes: list[Shape]) -> None: ...

@final
class Sources:
    def __init__(self, shapes: list[SourceShape]) -> None: ...
