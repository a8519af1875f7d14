"""What a WebSocket client may ask for, and how it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mainstem.errors import Denied, Invalid
from mainstem.live.access import Right
from mainstem.live.channels import parse_channel
from mainstem.live.routes import check_message
from mainstem.live.sse import MOST_CHANNELS, channels_of, check_history
from mainstem.live.starting import NOW, start_of

if TYPE_CHECKING:
    from mainstem.live.websocket import SocketViewer


class Operation(msgspec.Struct, forbid_unknown_fields=True):
    """One message of a client; exactly one of the first four is given.

    ``from``: where to begin with the channels that are new; ``ref`` comes back in the answer.
    """

    subscribe: list[str] | None = None
    unsubscribe: list[str] | None = None
    publish: str | None = None
    token: str | None = None
    origin: str | None = msgspec.field(default=None, name="from")
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    key: str | None = None
    ref: int | str | None = None


async def operate(viewer: SocketViewer, operation: Operation) -> dict[str, Any]:
    """Do it. Raises what the client is told instead."""
    given = (operation.subscribe, operation.unsubscribe, operation.publish, operation.token)
    if sum(each is not None for each in given) != 1:
        raise Invalid("a message has one of subscribe, unsubscribe, publish and token")
    if operation.subscribe is not None:
        return await _subscribe(viewer, operation.subscribe, operation.origin)
    if operation.unsubscribe is not None:
        return await _unsubscribe(viewer, operation.unsubscribe)
    if operation.publish is not None:
        return await _publish(viewer, operation.publish, operation)
    assert operation.token is not None
    return await _renew(viewer, operation.token)


async def _subscribe(viewer: SocketViewer, wanted: list[str], origin: str | None) -> dict[str, Any]:
    gateway = viewer.gateway
    names = channels_of(gateway, viewer.identity, wanted)
    start = start_of(gateway.book, None, origin)
    check_history(gateway, viewer.identity, names, start)
    had = viewer.set.names if viewer.set is not None else ()
    added = tuple(name for name in names if name not in had)
    total = tuple(sorted({*had, *added}))
    if len(total) > 16 * MOST_CHANNELS:
        raise Invalid(f"{len(total)} channels on one socket: at most {16 * MOST_CHANNELS}")
    if added:
        address = gateway.access.client_address(viewer.facts)
        gateway.access.admit_channels(address, gateway.fanout.unknown(added))
        await viewer.change(total, added, start)
    return {"channels": list(total)}


async def _unsubscribe(viewer: SocketViewer, names: list[str]) -> dict[str, Any]:
    had = viewer.set.names if viewer.set is not None else ()
    expanded = {viewer.gateway.access.expand(viewer.identity, name) for name in names}
    kept = tuple(name for name in had if name not in expanded)
    if kept != had:
        await viewer.change(kept, (), NOW)
    return {"channels": list(kept)}


async def _publish(viewer: SocketViewer, channel: str, operation: Operation) -> dict[str, Any]:
    gateway, identity = viewer.gateway, viewer.identity
    name = gateway.access.expand(identity, channel)
    parse_channel(name)
    gateway.access.may(identity, Right.PUBLISH, name)
    gateway.access.admit_publish(identity, gateway.access.client_address(viewer.facts))
    body = bytes(operation.data)
    check_message(body, operation.key)
    done = await gateway.desk.publish(name, body, operation.key, identity.user)
    return {
        "channel": name,
        "partition": done.stream[2],
        "offset": done.offset,
        "time": done.time,
        "duplicate": done.duplicate,
    }


async def _renew(viewer: SocketViewer, token: str) -> dict[str, Any]:
    identity = await viewer.gateway.access.authenticate_token(token, viewer.facts)
    if not viewer.identity.anonymous and identity.user != viewer.identity.user:
        raise Denied("that token is another user's: open another connection for them")
    if viewer.identity.anonymous and viewer.set is not None:
        raise Denied("send the token before the first subscription")
    if viewer.identity.anonymous:
        viewer.readmit(identity)
    viewer.identity = identity
    viewer.gateway.sessions.add(viewer.id, identity)
    return {"user": identity.user, "expires_at": identity.expires_at}
