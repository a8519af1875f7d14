def bucket_bound(bucket: int) -> int: ...

class Load:
    streaming: int
    counted: dict[str, int]
    latency: list[int]
    sequence: list[int]
    def __init__(
        self,
        host: str,
        port: int,
        count: int,
        request: bytes,
        *,
        source: str = "127.0.0.1",
        greeting: bytes = b"",
        resuming: bool = False,
        audited: bool = True,
        receive_buffer: int = 0,
    ) -> None: ...
    def connect(self, wanted: int) -> int: ...
    def run(self, seconds: float, until_events: int = 0, until_connected: bool = False) -> None: ...
    def drop(self, which: list[int]) -> None: ...
    def set_reconnecting(self, wanted: bool) -> None: ...
    def clear(self) -> None: ...
