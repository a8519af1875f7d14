from typing import final

from mainstem.kernels.columns import BinaryColumn

@final
class JsonShape:
    flags: int
    members: dict[bytes, JsonShape]
    item: JsonShape | None
    def __init__(self) -> None: ...

def widen_json(shape: JsonShape, values: BinaryColumn) -> None: ...
