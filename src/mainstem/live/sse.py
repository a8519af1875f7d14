"""``GET /live``: a stream for a plain ``EventSource``.

Browsers give up for good on any status but 200 (HTML Standard, section 9.2.3), so whoever comes
at a bad moment gets 200, a long ``retry`` and the end; real refusals (401, 403) keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mainstem.errors import Closed, Denied, Invalid, MainstemError, Unavailable
from mainstem.live.access import Identity, RequestFacts, Right
from mainstem.live.channels import parse_channel
from mainstem.live.frames import SSE, Fields
from mainstem.live.http import head
from mainstem.live.joining import ViewerLeft
from mainstem.live.starting import Start, start_of

if TYPE_CHECKING:
    from mainstem.live.access import Admission
    from mainstem.live.connection import HttpConnection
    from mainstem.live.gateway import Gateway
    from mainstem.live.subscriptions import SubscriptionSet

MOST_CHANNELS = 64
BUSY_RETRY_MS = 30_000
_STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "Connection": "close",
}


class SseViewer:
    """One stream: besides the sender's struct, this is all there is per viewer."""

    __slots__ = ("_admission", "_gateway", "_set", "id", "identity")

    def __init__(
        self,
        gateway: Gateway,
        ident: int,
        identity: Identity,
        admission: Admission,
        each: SubscriptionSet,
    ) -> None:
        self.id = ident
        self.identity = identity
        self._gateway = gateway
        self._admission: Admission | None = admission
        self._set = each
        gateway.arrived(ident, self)
        gateway.watches(self, each)

    def subscription(self) -> SubscriptionSet | None:
        return self._set

    def tell(self, name: str, fields: Fields) -> None:
        place = self._gateway.sender.position(self.id)
        if place is not None and place[0] is not None:  # else its head may not be sent yet
            self._gateway.sender.write(self.id, SSE.control(name, None, fields))

    def end(self, code: int, reason: str) -> None:  # noqa: ARG002 - a stream just ends
        self._gateway.sender.write(self.id, b"", True)
        self.closed()

    def leave_at(self, seconds: float) -> None:
        self._gateway.sender.set_deadline(self.id, seconds)

    # Handler --------------------------------------------------------------------------

    def readable(self) -> None:
        return  # a stream has nothing to say; its input is not watched

    def lapped(self) -> None:
        """Too slow for the ring: where only the newest counts, it gets that; else it must
        come back with its last id, and is served from the log at its own pace."""
        each, gateway = self._set, self._gateway
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
        self.end(1001, "shutdown")

    def closed(self) -> None:
        if self._admission is None:
            return
        self._admission.release()
        self._admission = None
        self._gateway.joiner.drained(self.id, lost=True)
        self._gateway.watches_no_more(self, self._set)
        self._gateway.departed(self.id)


async def serve_stream(
    gateway: Gateway, connection: HttpConnection, facts: RequestFacts, headers: dict[str, str]
) -> bytes | None:
    """Make the connection a viewer; or the answer that says why not."""
    try:
        return await _begin(gateway, connection, facts, headers)
    except (Unavailable, Closed) as error:
        gateway.shed += 1
        gateway.sender.write(connection.id, _busy(error, headers), True)
        connection.closed()
        return None


async def _begin(
    gateway: Gateway, connection: HttpConnection, facts: RequestFacts, headers: dict[str, str]
) -> bytes | None:
    if gateway.full:
        raise Unavailable("this worker is full or shutting down")
    identity = await gateway.access.authenticate(facts)
    names = channels_of(gateway, identity, facts.query.get("channel", ()))
    start = asked(gateway, facts)
    check_history(gateway, identity, names, start)
    ident = connection.id
    address = gateway.access.client_address(facts)
    gateway.access.admit_channels(address, gateway.fanout.unknown(names))
    admission = gateway.access.admit(identity, address)
    try:
        each = await gateway.fanout.open(names, SSE.name)
        gateway.access.check_alive(identity)  # a kick may have come while the channels opened
    except BaseException:
        admission.release()
        raise
    gateway.sender.set_reading(ident, False)
    viewer = SseViewer(gateway, ident, identity, admission, each)
    opening = head(200, {**headers, **_STREAM}) + SSE.retry(gateway.retry_ms())
    try:
        await gateway.joiner.join(ident, each, start, opening)
    except ViewerLeft:
        viewer.closed()
        gateway.sender.close(ident)
    except MainstemError:
        viewer.closed()
        gateway.handlers[ident] = connection
        gateway.sender.set_reading(ident, True)
        raise
    return None


def channels_of(gateway: Gateway, identity: Identity, asked_for: Sequence[str]) -> tuple[str, ...]:
    """The channels asked for, templates filled, each allowed; sorted and distinct."""
    names = sorted({gateway.access.expand(identity, name) for name in asked_for})
    if not names:
        raise Invalid("which channel? Ask for /live?channel=NAMESPACE:ID, as often as needed")
    if len(names) > MOST_CHANNELS:
        raise Invalid(f"{len(names)} channels on one connection: at most {MOST_CHANNELS}")
    for name in names:
        parse_channel(name)
        right = Right.PRESENCE if name.startswith("presence:") else Right.SUBSCRIBE
        gateway.access.may(identity, right, name)
    return tuple(names)


def asked(gateway: Gateway, facts: RequestFacts) -> Start:
    """Where to begin: header before query, in both spellings that polyfills use."""
    query = facts.query
    named = facts.headers.get("last-event-id")
    for field in ("last_event_id", "lastEventId"):
        if not named and field in query:
            named = query[field][0]
    return start_of(gateway.book, named, query["from"][0] if "from" in query else None)


def check_history(
    gateway: Gateway, identity: Identity, names: tuple[str, ...], start: Start
) -> None:
    """Raise ``Denied`` for the past without the right to it; a cursor of ours is a right."""
    if not start.needs_history:
        return
    for name in names:
        if not name.startswith(("viewers:", "presence:")):
            gateway.access.may(identity, Right.HISTORY, name)


def _busy(error: MainstemError, headers: dict[str, str]) -> bytes:
    assert not isinstance(error, Denied)
    comment = str(error).replace("\n", " ").replace("\r", " ")
    body = f": {comment}\n\n".encode() + SSE.retry(BUSY_RETRY_MS)
    return head(200, {**headers, **_STREAM}) + body
