from typing_extensions import Buffer

HEADER_SIZE: int

class BatchError(ValueError):
    reason: str
    position: int
    def __init__(self, message: str, reason: str, position: int) -> None: ...

class BatchHeader:
    position: int
    size: int
    base_offset: int
    leader_epoch: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    @property
    def last_offset(self) -> int: ...
    @property
    def codec(self) -> int: ...
    @property
    def log_append_time(self) -> bool: ...
    @property
    def transactional(self) -> bool: ...
    @property
    def control(self) -> bool: ...

def read_header(data: Buffer, position: int = 0) -> BatchHeader: ...
def read_batches(
    data: Buffer,
    start: int = 0,
    end: int = -1,
    verify_crc: bool = True,
    *,
    whole: bool = True,
    dense: bool = True,
) -> list[BatchHeader]: ...
def check_crcs(data: Buffer, headers: list[BatchHeader]) -> None: ...
def stamp(data: Buffer, position: int, base_offset: int, leader_epoch: int) -> None: ...
def stamp_append_time(data: Buffer, position: int, timestamp: int) -> None: ...
def first_without_key(records: Buffer, count: int) -> int: ...
def clear_append_time(data: Buffer, position: int) -> None: ...
