from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

INT8_CODE: int
INT16_CODE: int
INT32_CODE: int
INT64_CODE: int
UINT16_CODE: int
UINT32_CODE: int
FLOAT64_CODE: int
BOOL_CODE: int
STRING_CODE: int
BYTES_CODE: int
UUID_CODE: int
ERROR_CODE: int
STRUCT_CODE: int
VIEW_CODE: int

class Field:
    name: str
    def __init__(
        self, name: str, code: int, is_array: bool, nullable: bool, program: Program | None
    ) -> None: ...

class Program:
    def __init__(
        self,
        message_class: type[Any],
        fields: list[Field],
        tagged: dict[int, Field],
        flexible: bool,
        defaults: Callable[[], dict[str, Any]],
        least_size: int,
        errors: dict[int, Any],
    ) -> None: ...
    def decode(self, data: Buffer, start: int, end: int, max_elements: int) -> tuple[Any, int]: ...
