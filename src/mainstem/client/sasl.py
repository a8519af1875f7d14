"""SASL mechanisms without I/O: challenges in, responses out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Protocol

from mainstem.client.security import Sasl
from mainstem.errors import Denied, Invalid

#: What a broker may ask of our processor; Apache Kafka's own limit is 16384 (ScramMechanism).
_MOST_ITERATIONS = 1 << 20
_FEWEST_ITERATIONS = 4096  # RFC 7677 section 4
_AUTHENTICATION_FAILED = 58


class Exchange(Protocol):
    """One login. ``first`` opens it; ``step`` answers each challenge, ``None`` when content.

    ``finish`` raises ``Denied`` where the broker stopped before it proved what it must.
    """

    def first(self) -> bytes: ...
    def step(self, challenge: bytes) -> bytes | None: ...
    def finish(self) -> None: ...


def exchange(sasl: Sasl, token: str | None = None) -> Exchange:
    """The exchange for a login; ``token`` is what its callback gave."""
    if sasl.mechanism == "OAUTHBEARER":
        return Bearer(token or "", sasl.extensions)
    assert sasl.username is not None
    assert sasl.password is not None
    if sasl.mechanism == "PLAIN":
        return Plain(sasl.username, sasl.password)
    return Scram(sasl.mechanism, sasl.username, sasl.password)


class Plain:
    """RFC 4616: the password itself."""

    def __init__(self, username: str, password: str) -> None:
        self._message = b"\0" + username.encode() + b"\0" + password.encode()

    def first(self) -> bytes:
        """See ``Exchange``."""
        return self._message

    def step(self, challenge: bytes) -> bytes | None:  # noqa: ARG002
        """See ``Exchange``."""
        return None

    def finish(self) -> None:
        """See ``Exchange``."""


class Scram:
    """RFC 5802 and 7677: neither side tells the other the password, both prove they know it.

    Like Apache Kafka (ScramFormatter) it takes the password's UTF-8 bytes without SASLprep.
    """

    def __init__(
        self, mechanism: str, username: str, password: str, nonce: str | None = None
    ) -> None:
        self._digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        self._password = password.encode()
        self._nonce = nonce or secrets.token_urlsafe(24)
        name = username.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._signature: bytes | None = None
        self._proven = False

    def first(self) -> bytes:
        """See ``Exchange``."""
        return b"n,," + self._bare.encode()

    def step(self, challenge: bytes) -> bytes | None:
        """See ``Exchange``. Takes some milliseconds for the first challenge: key stretching."""
        fields = _scram_fields(challenge)
        if self._signature is None:
            return self._prove(challenge, fields)
        if "e" in fields:
            raise Denied(f"the broker refused the login: {fields['e']}", code=58)
        if not hmac.compare_digest(_base64(fields.get("v", "")), self._signature):
            raise Denied(
                "the broker does not know the password it was asked to prove: this may not be "
                "the broker you think it is",
                code=_AUTHENTICATION_FAILED,
            )
        self._proven = True
        return None

    def _prove(self, challenge: bytes, fields: Mapping[str, str]) -> bytes:
        nonce, salt = fields.get("r", ""), _base64(fields.get("s", ""))
        count = fields.get("i", "")
        iterations = int(count) if count.isascii() and count.isdigit() and len(count) < 8 else 0
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not salt:
            raise _broken("its nonce or salt is not valid")
        if not _FEWEST_ITERATIONS <= iterations <= _MOST_ITERATIONS:
            raise _broken(f"it asks for {count or 'no'} iterations")
        salted = hashlib.pbkdf2_hmac(self._digest, self._password, salt, iterations)
        client_key = self._hmac(salted, b"Client Key")
        final = f"c=biws,r={nonce}"
        message = b",".join((self._bare.encode(), challenge, final.encode()))
        stored = hashlib.new(self._digest, client_key).digest()
        proof = bytes(a ^ b for a, b in zip(client_key, self._hmac(stored, message), strict=True))
        self._signature = self._hmac(self._hmac(salted, b"Server Key"), message)
        return f"{final},p={base64.b64encode(proof).decode()}".encode()

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._digest)

    def finish(self) -> None:
        """See ``Exchange``."""
        if not self._proven:
            raise _broken("it let us in without proving that it knows the password")


class Bearer:
    """RFC 7628: a token from elsewhere."""

    def __init__(self, token: str, extensions: Mapping[str, str]) -> None:
        if not token or not token.isascii() or "\x01" in token:
            raise Invalid("the token callback returned no token: it must return a non-empty string")
        self._parts = [f"auth=Bearer {token}"]
        for name, value in extensions.items():
            if not name.isalpha() or name == "auth" or "\x01" in value:
                raise Invalid(f"the SASL extension {name!r} is not valid: use letters, not 'auth'")
            self._parts.append(f"{name}={value}")
        self._refusal: str | None = None

    def first(self) -> bytes:
        """See ``Exchange``."""
        return ("n,,\x01" + "\x01".join(self._parts) + "\x01\x01").encode()

    def step(self, challenge: bytes) -> bytes | None:
        """See ``Exchange``. A challenge that is not empty is the refusal: section 3.2.3."""
        if not challenge:
            return None
        try:
            found = json.loads(challenge)
            self._refusal = str(found["status"]) if isinstance(found, dict) else None
        except (ValueError, KeyError):
            self._refusal = None
        self._refusal = self._refusal or "no reason given"
        return b"\x01"

    def finish(self) -> None:
        """See ``Exchange``."""
        if self._refusal is not None:
            raise Denied(f"the broker refused the token: {self._refusal}", code=58)


def _scram_fields(message: bytes) -> dict[str, str]:
    try:
        parts = message.decode().split(",")
    except UnicodeDecodeError:
        raise _broken("it is not text") from None
    fields: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or len(name) != 1 or name in fields or name == "m":  # m: mandatory, unknown
            raise _broken("it is not a list of attributes")
        fields[name] = value
    return fields


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _broken("it is not base64") from None


def _broken(reason: str) -> Denied:
    return Denied(
        f"the broker's part of the SCRAM login cannot be trusted: {reason}",
        code=_AUTHENTICATION_FAILED,
    )
