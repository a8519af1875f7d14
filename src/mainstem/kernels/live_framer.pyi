from mainstem.kernels.live_ring import Ring

def siphash(key: bytes, data: bytes) -> bytes: ...

class Framer:
    ring: Ring
    vector: list[int]
    def __new__(
        cls,
        ring: Ring,
        prefixes: list[bytes],
        alone: bytes,
        vector: list[int],
        key: bytes,
        websocket: bool,
    ) -> Framer: ...
    def cursor(self) -> bytes: ...
    def move(self, place: int, next_offset: int) -> None: ...
    def event(
        self, place: int, offset: int, body: bytes, now_us: int, stamp_us: int = 0, tag: int = 0
    ) -> bool: ...
    def state(
        self, body: bytes, now_us: int, stamp_us: int, represented: int, tag: int
    ) -> None: ...
