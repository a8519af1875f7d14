from typing import final

from typing_extensions import Buffer

from mainstem.kernels.columns import BinaryColumn, Memory

@final
class HeaderColumn:
    length: int
    def __init__(
        self,
        offsets: Buffer | None,
        validity: Buffer | None,
        first: int,
        length: int,
        keys: BinaryColumn,
        values: BinaryColumn,
    ) -> None: ...
    def __len__(self) -> int: ...

def encode_records(
    values: BinaryColumn,
    keys: BinaryColumn | None,
    headers: HeaderColumn | None,
    timestamps: Buffer | None,
    now: int,
    first: int,
    stop: int,
    target: int,
) -> tuple[Memory, int]: ...
def seal(
    batch: Buffer,
    codec: int = 0,
    *,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
) -> None: ...
def number(
    batch: Buffer,
    *,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    transactional: bool = False,
) -> None: ...
