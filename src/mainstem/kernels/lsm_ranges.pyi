from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

@final
class Ranges:
    count: int
    pairs: tuple[tuple[bytes, bytes | None], ...]
    def __init__(self, pairs: Iterable[tuple[bytes, bytes | None]]) -> None: ...
    def __len__(self) -> int: ...
    def contains(self, key: Buffer) -> bool: ...
