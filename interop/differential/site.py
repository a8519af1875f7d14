"""One broker as a scenario sees it: ask anything, in any version, and keep what was answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from interop.differential.plain import Plainer
from mainstem.testing import RawConnection
from mainstem.wire import Message
from mainstem.wire.schema import load, newest
from mainstem.wire.shapes import default_of, fields_of, nested_class

CLOSED = "connection closed"
_SETTLED_SECONDS = 0.05


class Site:
    """``ask`` keeps every answer under a label; two sites that ran one scenario are compared.

    ``versions`` are those that both brokers serve, by API key.
    """

    def __init__(self, address: str, versions: dict[int, range]) -> None:
        self.address = address
        self.versions = versions
        self.answers: dict[str, Any] = {}
        self._plainer = Plainer()
        self._connection: RawConnection | None = None
        self._others: list[RawConnection] = []

    def ask(self, label: str, api_key: int, version: int | None = None, **fields: Any) -> Any:
        """The answer as a ``Message``, or ``CLOSED``; kept in plain form under ``label``.

        Lists of dictionaries become lists of structs; what is not given gets its default.
        """
        at = self.versions[api_key][-1] if version is None else version
        answer = self.quietly(api_key, at, **fields)
        self.keep(label, answer)
        return answer

    def each_version(self, label: str, api_key: int, **fields: Any) -> None:
        """Ask the same in every version that both brokers serve."""
        for version in self.versions[api_key]:
            self.ask(f"{label} v{version}", api_key, version, **fields)

    def keep(self, label: str, answer: Any) -> None:
        """Compare this, too."""
        assert label not in self.answers, f"the label {label!r} is used twice"
        self.answers[label] = self._plainer.plain(answer)

    def later(self, label: str, look: Callable[[], Any]) -> None:
        """Keep what ``look`` gives once it has stayed the same for a moment."""
        before, since = look(), time.monotonic()
        while time.monotonic() - since < _SETTLED_SECONDS:
            now = look()
            if now != before:
                before, since = now, time.monotonic()
        self.keep(label, before)

    def quietly(self, api_key: int, version: int | None = None, **fields: Any) -> Any:
        """As ``ask``, without keeping the answer."""
        at = self.versions[api_key][-1] if version is None else version
        if self._connection is None:
            self._connection = RawConnection(self.address)
        try:
            return self._connection.call(api_key, at, filled(api_key, at, fields))
        except OSError:  # ConnectionError and its like; a timeout, too
            self._connection.close()
            self._connection = None
            return CLOSED

    def connection(self) -> RawConnection:
        """A further connection, closed with the site: for requests that wait."""
        connection = RawConnection(self.address)
        self._others.append(connection)
        return connection

    def close(self) -> None:
        for connection in (self._connection, *self._others):
            if connection is not None:
                connection.close()


def filled(api_key: int, version: int, fields: dict[str, Any]) -> Message:
    """A request with defaults where nothing is given."""
    return _fill((load(api_key, version, "request"), newest(api_key, "request")), fields)


def _fill(classes: tuple[Any, ...], fields: dict[str, Any]) -> Message:
    # The newest version first: a request is given in its shape.
    values = {name: default_of(field) for c in classes for name, field in _fields(c).items()}
    for name, value in fields.items():
        inner = [_fields(c)[name] for c in classes if name in _fields(c)]
        nested = tuple(n for n in (nested_class(field) for field in inner) if n is not None)
        if not nested and isinstance(value, list) and value and isinstance(value[0], dict):
            nested = (None,)  # a struct of old versions only
        if nested and isinstance(value, list):
            values[name] = [_fill(nested, each) for each in value]
        elif isinstance(value, dict):
            values[name] = _fill(nested, value)
        else:
            values[name] = value
    return Message(**values)


@cache
def _fields(message_class: Any) -> dict[str, Any]:
    return {} if message_class is None else fields_of(message_class)


def differences(ours: Any, theirs: Any, path: str) -> Iterable[str]:
    """Where two plain answers differ: lines ``path: ours != theirs``."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            yield from differences(
                ours.get(name, "absent"), theirs.get(name, "absent"), f"{path}/{name}"
            )
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(our, their, f"{path}/{i}")
    elif ours != theirs:
        yield f"{path}: {ours!r} != {theirs!r}"
