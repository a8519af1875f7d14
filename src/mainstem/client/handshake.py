"""The login on a connection: SaslHandshake, SaslAuthenticate, and renewal (KIP-43, -152, -368)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from mainstem.client.kafka_errors import error_for
from mainstem.client.sasl import exchange
from mainstem.client.security import Sasl
from mainstem.errors import Denied, Invalid, MainstemError, Unavailable
from mainstem.wire import Message

SASL_HANDSHAKE, SASL_AUTHENTICATE = 17, 36
_UNSUPPORTED_MECHANISM, _ILLEGAL_STATE = 33, 34
_MOST_STEPS = 8

#: Sends a request on the connection that logs in, past whatever holds others back.
Call = Callable[[int, Message], Awaitable[Message]]


async def authenticate(call: Call, sasl: Sasl, name: str) -> float:
    """Log in to the broker ``name``; the seconds the session lasts, 0 for ever.

    Raises ``Denied`` for a login the broker refuses or that cannot be trusted, ``Invalid`` for
    a mechanism it does not have, ``Unavailable`` when it fails to answer.
    """
    subject = f"log in to {name} {sasl.subject}"
    reply = await call(SASL_HANDSHAKE, Message(mechanism=sasl.mechanism))
    if reply.error_code == _UNSUPPORTED_MECHANISM:
        offered = ", ".join(sorted(reply.mechanisms)) or "none"
        raise Invalid(
            f"{subject}: the broker does not have this mechanism: it has {offered}",
            code=_UNSUPPORTED_MECHANISM,
        )
    if reply.error_code:
        hint = "does this listener take logins?" if reply.error_code == _ILLEGAL_STATE else None
        raise error_for(reply.error_code, subject, hint)
    talk = exchange(sasl, await _token(sasl))
    response: bytes | None = talk.first()
    loop = asyncio.get_running_loop()
    for _ in range(_MOST_STEPS):
        reply = await call(SASL_AUTHENTICATE, Message(auth_bytes=response))
        if reply.error_code:
            raise error_for(reply.error_code, subject, _reason(reply.error_message))
        try:
            response = await loop.run_in_executor(None, talk.step, bytes(reply.auth_bytes))
        except Denied as error:
            raise Denied(f"{subject}: {error}", code=error.code) from error
        if response is None:
            talk.finish()
            return int(getattr(reply, "session_lifetime_ms", 0)) / 1000
    raise Denied(f"{subject}: the broker never came to an end: is this a Kafka broker?")


def _reason(text: str | None) -> str | None:
    """Kafka's own text, unless it says no more than ours."""
    return None if text is None or text.startswith("Authentication failed") else text


async def _token(sasl: Sasl) -> str | None:
    if sasl.token is None:
        return None
    try:
        if inspect.iscoroutinefunction(sasl.token):
            found = await sasl.token()
        else:
            found = await asyncio.get_running_loop().run_in_executor(None, sasl.token)
            if inspect.isawaitable(found):
                found = await found
    except MainstemError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise Unavailable(f"the token callback failed with {kind}: {error}; retry") from error
    return str(found) if isinstance(found, str) else ""
