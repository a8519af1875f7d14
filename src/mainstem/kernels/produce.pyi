from typing_extensions import Buffer

class MessageError(ValueError): ...

_Topic = tuple[str | bytes, list[tuple[int, int, int]]]
_Result = tuple[int, int, int, int, int, str | None]

def read_produce_request(
    data: Buffer, start: int, end: int, version: int
) -> tuple[str | None, int, int, list[_Topic]]: ...
def write_produce_response(
    version: int,
    correlation_id: int,
    topics: list[tuple[str | bytes, list[_Result]]],
    throttle_ms: int = 0,
) -> bytes: ...
