from typing import final

from typing_extensions import Buffer

from mainstem.kernels.columns import BinaryColumn, Memory

@final
class JsonColumn:
    length: int
    @staticmethod
    def text(prefix: bytes, column: BinaryColumn) -> JsonColumn: ...
    @staticmethod
    def literal(prefix: bytes, column: BinaryColumn) -> JsonColumn: ...
    @staticmethod
    def decimal(prefix: bytes, column: BinaryColumn) -> JsonColumn: ...
    @staticmethod
    def base64(prefix: bytes, column: BinaryColumn) -> JsonColumn: ...
    @staticmethod
    def integer(
        prefix: bytes, values: Buffer | None, validity: Buffer | None, first: int, length: int
    ) -> JsonColumn: ...

def json_lists(
    offsets: Buffer, first: int, rows: int, entries: BinaryColumn, opening: bytes, closing: bytes
) -> tuple[Memory, Memory]: ...
def json_rows(
    columns: list[JsonColumn], rows: int, close: bytes = b"}"
) -> tuple[Memory, Memory]: ...
