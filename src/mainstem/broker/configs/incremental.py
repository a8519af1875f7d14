"""IncrementalAlterConfigs' operations on a set of overrides (KIP-339)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum

from mainstem.broker.configs.definition import INVALID_CONFIG, ConfigType, Definition, nearest
from mainstem.errors import Invalid

_INVALID_REQUEST = 42


class Operation(IntEnum):
    """``config_operation`` on the wire."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


def apply_operations(
    overrides: Mapping[str, str],
    operations: Iterable[tuple[str, int, str | None]],
    definitions: Mapping[str, Definition],
    in_force: Callable[[str], str],
) -> dict[str, str]:
    """New overrides after ``(name, operation, value)`` ones; ``in_force`` is what lists start from.

    Raises ``Invalid`` (40 or 42). The result's values are not checked: ``validate`` does that.
    """
    result = dict(overrides)
    for name, number, value in operations:
        try:
            operation = Operation(number)
        except ValueError:
            raise Invalid(
                f"config operation {number} of {name} is not one of 0 (set), 1 (delete), "
                "2 (append), 3 (subtract)",
                code=_INVALID_REQUEST,
            ) from None
        if operation is Operation.DELETE:
            result.pop(name, None)
            continue
        if value is None:
            raise Invalid(
                f"Null value not supported for {name}: use the delete operation to get the default",
                code=_INVALID_REQUEST,
            )
        if operation is Operation.SET:
            result[name] = value
            continue
        _check_list(name, operation, definitions)
        present = result.get(name)
        parts = _split(in_force(name) if present is None else present)
        changed = _split(value)
        if operation is Operation.APPEND:
            parts += [part for part in changed if part not in parts]
        else:
            parts = [part for part in parts if part not in changed]
        result[name] = ",".join(parts)
    return result


def _check_list(name: str, operation: Operation, definitions: Mapping[str, Definition]) -> None:
    definition = definitions.get(name)
    if definition is None:
        raise Invalid(
            f"Unknown config name: {name}{nearest(name, definitions)}", code=INVALID_CONFIG
        )
    if definition.type is not ConfigType.LIST:
        raise Invalid(
            f"Can't {operation.name} to key {name} because its type is not LIST: use set",
            code=INVALID_CONFIG,
        )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
