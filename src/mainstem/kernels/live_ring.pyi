class Ring:
    first: int
    next: int
    capacity: int
    held: int
    viewers: int
    sends: int
    delivered: int
    dirty: bool
    def __new__(
        cls, tails: list[int], capacity: int = 4096, limit: int = 262_144, keep_ms: int = 10_000
    ) -> Ring: ...
    def append(
        self,
        frame: bytes,
        now_us: int,
        stream: int = -1,
        offset: int = 0,
        stamp_us: int = 0,
        represented: int = 1,
        tag: int = 0,
    ) -> int: ...
    def frame(self, number: int) -> bytes: ...
    def record(self, number: int) -> tuple[int, int]: ...
    def tails(self) -> list[int]: ...
    def resume(self, wanted: list[int]) -> tuple[list[int], int] | None: ...
