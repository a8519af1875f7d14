"""``GET /live/ws``: the same channels, with subscribe, unsubscribe and publish while open.

Handshake and incoming frames are the ``websockets`` library's, without its I/O; what is sent is
a ring of finished frames, as over server-sent events. Messages: see ``docs/guides/live.md``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from mainstem.errors import MainstemError
from mainstem.live.access import Identity, RequestFacts
from mainstem.live.frames import WS, Fields, text_frame
from mainstem.live.joining import ViewerLeft
from mainstem.live.sockets_do import Operation, operate
from mainstem.live.starting import Start

if TYPE_CHECKING:
    from mainstem.live.access import Admission
    from mainstem.live.gateway import Gateway
    from mainstem.live.subscriptions import SubscriptionSet

MOST_WAITING = 64
MOST_QUEUED_BYTES = 1 << 20
SILENT_SECONDS = 60.0
MOST_FRAGMENTS = 256
_CHUNK = 4096  # of empty frames, a millisecond's work


class SocketViewer:
    """One WebSocket. Operations run one after the other; while too many wait, nothing is read."""

    def __init__(
        self,
        gateway: Gateway,
        ident: int,
        identity: Identity,
        facts: RequestFacts,
        admission: Admission,
    ) -> None:
        self.id = ident
        self.identity = identity
        self.facts = facts
        self.gateway = gateway
        self.set: SubscriptionSet | None = None
        self._admission: Admission | None = admission
        self._protocol = Protocol(Side.SERVER, max_size=gateway.config.max_body_bytes + 4096)
        self._partial: list[bytes] | None = None
        self._waiting: deque[Operation] = deque()
        self._working = False
        self._buffered = False
        self._coming = False
        self._leaving = False
        gateway.arrived(ident, self)
        gateway.sender.set_deadline(ident, SILENT_SECONDS)

    # Viewer ---------------------------------------------------------------------------

    def subscription(self) -> SubscriptionSet | None:
        return self.set

    def tell(self, name: str, fields: Fields) -> None:
        self.write(WS.control(name, None, fields))

    def say(self, message: dict[str, Any]) -> None:
        """A message for this client alone."""
        self.write(text_frame(msgspec.json.encode(message)))

    def end(self, code: int, reason: str) -> None:
        frame = Frame(Opcode.CLOSE, Close(code, reason[:100]).serialize())
        self.gateway.sender.write(self.id, frame.serialize(mask=False), True)
        self.closed()

    def leave_at(self, seconds: float) -> None:
        self._leaving = True
        self.gateway.sender.set_deadline(self.id, seconds)

    def write(self, data: bytes) -> None:
        """Private bytes; who does not take them is dropped."""
        if self.gateway.sender.write(self.id, data) > MOST_QUEUED_BYTES:
            self.gateway.sender.close(self.id)
            self.closed()

    # Handler --------------------------------------------------------------------------

    def readable(self) -> None:
        """Take one chunk, and come again for the next: a client that never stops sending gets
        a share of the loop, not all of it."""
        if len(self._waiting) >= MOST_WAITING:
            self._buffered = True
            return
        if self._admission is None:
            return
        data = self.gateway.sender.read(self.id, _CHUNK)
        if data is None:
            return
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._take_frames()
        if not data:
            self.gateway.sender.close(self.id)
            self.closed()
        elif not self._coming:
            self._coming = True
            asyncio.get_running_loop().call_soon(self._again)

    def _again(self) -> None:
        self._coming = False
        self.readable()

    def lapped(self) -> None:
        each, gateway = self.set, self.gateway
        if each is None:
            return
        gateway.evicted(each)
        if not each.conflatable:
            gateway.sender.close(self.id)
            self.closed()
            return
        cursor = each.cursor()
        states = b"".join(each.framing.event(cursor, body) for _, body in each.snapshots())
        gateway.sender.write(self.id, states)
        gateway.sender.attach(self.id, each.ring, each.ring.next)

    def deadline(self) -> None:
        if self._leaving:
            self.end(1001, "shutdown")
        elif self.set is None and not self._working:
            self.end(4408, f"nothing subscribed in {SILENT_SECONDS:.0f} s")

    def closed(self) -> None:
        if self._admission is None:
            return
        self._admission.release()
        self._admission = None
        self._waiting.clear()
        self.gateway.joiner.drained(self.id, lost=True)
        self.gateway.watches_no_more(self, self.set)
        self.set = None
        self.gateway.departed(self.id)

    def readmit(self, identity: Identity) -> None:
        """It is ``identity`` from now on, and counts among its connections.

        Raises ``LimitReached`` where these are too many: then nothing changes.
        """
        access = self.gateway.access
        admission = access.admit(identity, access.client_address(self.facts))
        if self._admission is None:
            admission.release()
            raise ViewerLeft
        self._admission.release()
        self._admission = admission

    @property
    def alive(self) -> bool:
        return self._admission is not None

    # Frames ---------------------------------------------------------------------------

    def _take_frames(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in {
                Opcode.TEXT,
                Opcode.BINARY,
                Opcode.CONT,
            }:
                self._take(event)
                if not self.alive:
                    return
        out = b"".join(self._protocol.data_to_send())
        if self._protocol.state is not State.OPEN:  # they close, or broke the protocol
            self.gateway.sender.write(self.id, out, True)
            self.closed()
        elif out:
            self.write(out)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._partial = []
        if self._partial is None:
            return
        self._partial.append(bytes(frame.data))
        if len(self._partial) > MOST_FRAGMENTS:  # empty ones count for nothing in its size
            self._partial = None
            self.end(1009, f"a message has {MOST_FRAGMENTS} fragments at most")
            return
        if not frame.fin:
            return
        payload, self._partial = b"".join(self._partial), None
        try:
            operation = msgspec.json.decode(payload, type=Operation)
        except (msgspec.DecodeError, RecursionError) as error:
            self.say({"error": f"that is no message of ours: {error}", "code": "message"})
            return
        self._waiting.append(operation)
        if not self._working:
            self._working = True
            self.gateway.spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting and self.alive:
                await self._do(self._waiting.popleft())
                if self._buffered and self.alive:
                    self._buffered = False
                    self.readable()
        except ViewerLeft:
            self.gateway.sender.close(self.id)
            self.closed()
        finally:
            self._working = False
        if self.alive and self.set is None:
            self.gateway.sender.set_deadline(self.id, SILENT_SECONDS)

    async def _do(self, operation: Operation) -> None:
        reference = {} if operation.ref is None else {"ref": operation.ref}
        try:
            done = await operate(self, operation)
        except MainstemError as error:
            self.gateway.refused[type(error).__name__] += 1
            code = getattr(error, "reason", error.code)
            self.say({**reference, "error": str(error), "code": code})
            return
        if reference and self.alive:
            self.say({**reference, "ok": done})

    # Moving between sets --------------------------------------------------------------

    async def change(self, names: tuple[str, ...], added: tuple[str, ...], start: Start) -> None:
        """Subscribe to exactly ``names``, without a gap in those it had."""
        gateway, old = self.gateway, self.set
        new = await gateway.fanout.open(names, WS.name) if names else None
        if not self.alive:
            raise ViewerLeft
        # From here to the new ring nothing is awaited unless the log must be asked.
        carried = self._stand(old)
        self.set = new
        gateway.moves(self, old, new)
        if new is None:
            return
        if not self._leaving:
            gateway.sender.set_deadline(self.id, 0)
        if old is None:
            await self._first(new, start)
            return
        try:
            await gateway.joiner.widen(self.id, new, carried, added, start)
        except MainstemError as error:
            self.end(1013, str(error))
            raise ViewerLeft from error

    async def _first(self, new: SubscriptionSet, start: Start) -> None:
        try:
            await self.gateway.joiner.join(self.id, new, start, b"")
        except MainstemError:
            if self.alive:
                self.gateway.sender.detach(self.id)
                self.gateway.moves(self, new, None)
                self.set = None
            raise

    def _stand(self, old: SubscriptionSet | None) -> dict[Any, int] | None:
        if old is None:
            return {}
        self.gateway.sender.write(self.id, b"")  # send what the ring has, if there is room
        number = self.gateway.sender.detach(self.id)
        vector = None if number is None else old.vector_at(number)
        return None if vector is None else dict(zip(old.shape.streams, vector, strict=True))
