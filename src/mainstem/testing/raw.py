"""A bare client: frames over one socket, for tests that must say exactly what is sent."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from mainstem.wire import Message, decode_response, encode_request, request_frame
from mainstem.wire import response_body_start as body_start

_TIMEOUT = 20.0
_FETCH = 1


class RawConnection:
    """Blocking; one thread. ``ConnectionError`` when the broker has closed the socket."""

    def __init__(self, address: str, *, client_id: str | None = "raw") -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=_TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client_id = client_id
        self._correlation_id = 0
        self._asked: list[tuple[int, int, int]] = []

    def send(self, api_key: int, version: int, message: Message) -> int:
        """Send a request without waiting; returns its correlation id."""
        body = encode_request(api_key, version, message)
        self._correlation_id += 1
        frame = request_frame(api_key, version, self._correlation_id, self._client_id, body)
        self._asked.append((api_key, version, self._correlation_id))
        self.socket.sendall(frame)
        return self._correlation_id

    def receive(self) -> Message:
        """The next response; responses must come in the order of the requests."""
        api_key, version, expected = self._asked.pop(0)
        frame = self.receive_frame()
        correlation_id = int.from_bytes(frame[:4], "big", signed=True)
        if correlation_id != expected:
            raise AssertionError(f"response {correlation_id} came in the place of {expected}")
        message = decode_response(
            api_key, version, frame, body_start(api_key, version, frame, 0, len(frame))
        )
        if api_key == _FETCH:  # a view of the frame; tests want to compare
            for topic in message.responses:
                for partition in topic.partitions:
                    if partition.records is not None:
                        partition.records = bytes(partition.records)
        return message

    def call(self, api_key: int, version: int, message: Message) -> Message:
        """One request and its response."""
        self.send(api_key, version, message)
        return self.receive()

    def receive_frame(self) -> bytes:
        """The next frame without its size."""
        return self.receive_exactly(int.from_bytes(self.receive_exactly(4), "big"))

    def receive_exactly(self, size: int) -> bytes:
        """That many bytes."""
        data = bytearray(size)
        view = memoryview(data)
        while view:
            received = self.socket.recv_into(view)
            if not received:
                raise ConnectionError(f"closed with {len(view)} of {size} bytes still to come")
            view = view[received:]
        return bytes(data)

    def is_closed_by_peer(self) -> bool:
        """Wait for the broker to close the connection; ``False`` if it sends instead."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
