"""One connection's protocol without I/O: bytes in, answers out.

Requests are numbered and may be pipelined; Kafka answers them in the order they were sent, so
the oldest one still open is always the next to be answered.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import Memory
from mainstem.wire import Message, decode_response, request_frame, response_body_start

#: Small answers are received here; a larger one gets memory of its own, received in place.
_SCRATCH = 64 * 1024


class Pending(NamedTuple):
    """A request that waits for its answer."""

    correlation_id: int
    api_key: int
    version: int


class Answer(NamedTuple):
    """A whole answer. ``frame`` is the bytes behind its size; ``decode`` makes it a message."""

    request: Pending
    frame: bytes | memoryview

    @property
    def body(self) -> int:
        """Where the body starts in ``frame``. Raises ``Invalid`` for a broken header."""
        _, key, version = self.request
        return response_body_start(key, version, self.frame, 0, len(self.frame))

    def decode(self) -> Message:
        """The answer as a message. Raises ``Corrupt`` where the bytes are not one."""
        _, key, version = self.request
        try:
            return decode_response(key, version, self.frame, self.body)
        except Invalid as error:
            raise Corrupt(f"the broker's answer cannot be read: {error}") from error


class Protocol:
    """Numbers requests, cuts what arrives into answers and matches the two.

    ``received`` raises ``Corrupt`` for a size that is negative or above ``max_answer`` bytes and
    for an answer nobody asked for; the connection is useless after that. Not thread-safe.
    """

    def __init__(self, client_id: str | None, *, max_answer: int = 256 << 20) -> None:
        self.pending: deque[Pending] = deque()
        self._client_id = client_id
        self._max_answer = max_answer
        self._next_id = 0
        self._scratch = bytearray(_SCRATCH)
        self._held = 0  # bytes in the scratch buffer that are not a whole answer yet
        self._large: memoryview | None = None
        self._filled = 0

    def request(
        self, api_key: int, version: int, body: bytes, *, answered: bool = True
    ) -> tuple[int, bytes]:
        """Number a request: its correlation id and the frame to send.

        ``answered`` is false for the one request without an answer, Produce with ``acks=0``.
        """
        correlation_id = self.number(api_key, version, answered=answered)
        return correlation_id, request_frame(
            api_key, version, correlation_id, self._client_id, body
        )

    def number(self, api_key: int, version: int, *, answered: bool = True) -> int:
        """The correlation id for a request that the caller frames itself."""
        correlation_id = self._next_id
        self._next_id = (correlation_id + 1) & 0x7FFF_FFFF
        if answered:
            self.pending.append(Pending(correlation_id, api_key, version))
        return correlation_id

    def head(self, api_key: int, version: int, correlation_id: int, body_size: int) -> bytes:
        """The frame's start for a body of ``body_size`` bytes that is sent right behind it."""
        frame = bytearray(request_frame(api_key, version, correlation_id, self._client_id, b""))
        frame[:4] = (len(frame) - 4 + body_size).to_bytes(4, "big")
        return bytes(frame)

    def get_buffer(self) -> memoryview:
        """Where the next bytes go; say how many arrived with ``received``. Never empty."""
        if self._large is not None:
            return self._large[self._filled :]
        return memoryview(self._scratch)[self._held :]

    def received(self, count: int) -> list[Answer]:
        """Take ``count`` bytes written to ``get_buffer()``; the answers they complete."""
        if self._large is not None:
            self._filled += count
            if self._filled < len(self._large):
                return []
            frame, self._large = self._large, None
            return [self._match(frame)]
        return self._cut(self._held + count)

    def _cut(self, end: int) -> list[Answer]:
        answers: list[Answer] = []
        position = 0
        scratch = memoryview(self._scratch)
        while end - position >= 4:
            size = int.from_bytes(scratch[position : position + 4], "big", signed=True)
            if size < 4 or size > self._max_answer:
                raise Corrupt(
                    f"the peer announced an answer of {size} bytes, at most {self._max_answer} "
                    "are accepted: is this the Kafka port?"
                )
            start = position + 4
            if end - start < size:
                if size > _SCRATCH - 4:
                    self._large = memoryview(Memory(size))
                    self._filled = end - start
                    self._large[: self._filled] = scratch[start:end]
                    position = end
                break
            answers.append(self._match(bytes(scratch[start : start + size])))
            position = start + size
        self._held = end - position
        scratch[: self._held] = bytes(scratch[position:end])
        return answers

    @property
    def missing(self) -> int:
        """How many bytes of a large answer are still to come; 0 where there is none."""
        return 0 if self._large is None else len(self._large) - self._filled

    def _match(self, frame: bytes | memoryview) -> Answer:
        correlation_id = int.from_bytes(frame[:4], "big", signed=True)
        if not self.pending or self.pending[0].correlation_id != correlation_id:
            raise Corrupt(f"the broker answered request {correlation_id}, which is not next")
        return Answer(self.pending.popleft(), frame)
