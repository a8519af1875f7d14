"""One request or response (or a part of one) as plain attributes, whatever its version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class Message:
    """Fields by Kafka's own names, in snake case: ``Message(error_code=0, host="a")``.

    Durations and points in time are integers of milliseconds and keep Kafka's ``_ms`` suffix;
    arrays are lists; a zero UUID is ``None``. Not thread-safe while being changed.
    """

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this message has no field {name!r}: it has {sorted(self.__dict__)}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"Message({fields})"
