from typing import Any, TypeVar

from mainstem.kernels.lsm_arena import Piece
from mainstem.kernels.lsm_batch import Operation

_Layer = TypeVar("_Layer")
_Disk = TypeVar("_Disk")
_View = TypeVar("_View", bound=tuple[Any, ...])

def insert_rows(
    record: Piece,
    position: int,
    operations: list[Operation],
    active: dict[int, list[_Layer]],
    specs: dict[int, bytes],
) -> tuple[Operation, int] | None: ...
def marks_of(layers: list[_Layer]) -> tuple[tuple[_Layer, int], ...]: ...
def show(
    view: dict[int, _View],
    operations: list[Operation],
    active: dict[int, list[_Layer]],
    marks: dict[int, tuple[tuple[_Layer, int], ...]],
    sealed: dict[int, tuple[tuple[_Layer, int], ...]],
    disk: dict[int, _Disk],
    kind: type[_View],
) -> dict[int, _View]: ...
def bytes_held(active: dict[int, list[_Layer]]) -> int: ...
