from typing import final

from typing_extensions import Buffer

@final
class Memory(Buffer):
    def __init__(self, size: int) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def truncate(self, size: int) -> None: ...

@final
class BinaryColumn:
    length: int
    def __init__(
        self,
        offsets: Buffer | None,
        data: Buffer | None,
        validity: Buffer | None,
        first: int,
        length: int,
        wide: bool = False,
    ) -> None: ...
    def __len__(self) -> int: ...

def pooled() -> dict[int, int]: ...
