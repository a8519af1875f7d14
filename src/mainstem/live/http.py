"""HTTP/1.1 on a sender's connection: requests parsed by httptools, every length and time bounded.

No asyncio transport and no task per connection: bytes come when the sender reports them, and
answers are private bytes of the connection. A client gets one time limit for a whole request,
from the first byte to the last, however it drips (slowloris).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

MOST_HEAD_BYTES = 16_384
MOST_HEADERS = 64
MOST_PIPELINED = 16

Headers = Mapping[str, str]


@dataclass(slots=True)
class Request:
    """One request as it came: ``target`` undecoded, header names as sent."""

    method: str = ""
    target: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    keep_alive: bool = False
    upgrade: bool = False

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case), or ``None``."""
        wanted = name.encode()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value.decode("latin-1").strip()
        return None


class Refused(Exception):  # noqa: N818 - an answer
    """The bytes are no request we take: answer with this status, and close."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class RequestReader:
    """Bytes in, requests out. No I/O.

    ``on_continue`` is called when a client waits for ``100 Continue`` before its body.
    """

    def __init__(self, most_body_bytes: int, on_continue: Callable[[], None]) -> None:
        self._most_body = most_body_bytes
        self._on_continue = on_continue
        self._parser = httptools.HttpRequestParser(self)
        self._problem: Refused | None = None
        self._done: list[Request] = []
        self._request = Request()
        self._target = b""
        self._body = bytearray()
        self._head_bytes = 0
        self._in_head = True

    def feed(self, data: bytes) -> list[Request]:
        """Requests that ``data`` completes. Raises ``Refused``; the reader is finished then."""
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._done:
                self._done[-1].upgrade = True
        except httptools.HttpParserCallbackError as error:
            if self._problem is None:
                raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            raise Refused(400, f"that is no HTTP/1.1 request: {error}") from None
        if self._problem is None and self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._problem = Refused(431, f"headers over {MOST_HEAD_BYTES:,} bytes")
        if self._problem is not None:
            raise self._problem
        done, self._done = self._done, []
        return done

    @property
    def idle(self) -> bool:
        """Nothing of a next request has come yet."""
        return self._in_head and self._head_bytes == 0

    # httptools' callbacks -------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._request = Request()
        self._target = b""
        self._body.clear()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._request.headers) >= MOST_HEADERS:
            self._refuse(431, f"over {MOST_HEADERS} headers")
        self._request.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        request = self._request
        request.method = self._parser.get_method().decode("ascii")
        request.target = self._target.decode("latin-1")
        request.keep_alive = self._parser.should_keep_alive()
        declared = request.header("content-length")
        if declared is not None and declared.isdigit() and int(declared[:18]) > self._most_body:
            self._refuse(413, f"a body of {declared[:18]} bytes: at most {self._most_body:,}")
        if (request.header("expect") or "").lower() == "100-continue":
            self._on_continue()

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > self._most_body:
            self._refuse(413, f"a body of over {self._most_body:,} bytes")
        self._body += body

    def on_message_complete(self) -> None:
        self._request.body = bytes(self._body)
        self._body.clear()
        self._in_head = True
        self._head_bytes = 0
        self._done.append(self._request)
        if len(self._done) > MOST_PIPELINED:
            self._refuse(400, f"over {MOST_PIPELINED} requests at once")

    def _refuse(self, status: int, sentence: str) -> None:
        if self._problem is None:
            self._problem = Refused(status, sentence)
        raise self._problem


def head(status: int, headers: Headers) -> bytes:
    """A status line and headers, without the blank line's body. Values hold no line breaks."""
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    for name, value in headers.items():
        if "\r" in value or "\n" in value:
            raise ValueError(f"header {name} with a line break")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(
    status: int, headers: Headers, body: bytes = b"", *, kind: str = "application/json"
) -> bytes:
    """A whole answer with its length."""
    described = {**headers}
    if status not in {204, 304}:
        described["Content-Type"] = kind
        described["Content-Length"] = str(len(body))
    return head(status, described) + body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"
