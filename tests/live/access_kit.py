"""Keys, tokens and requests for the tests of access."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mainstem.live.access import Access, Identity, RequestFacts, read_settings
from mainstem.testing.clock import VirtualClock

SECRET = "a secret of more than thirty-two bytes, for tests only"
NOW = 1_700_000_000


@cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "first") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: rsa.RSAPrivateKey, key_id: str | None, **more: Any) -> dict[str, Any]:
    entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    if key_id is not None:
        entry["kid"] = key_id
    return {**entry, **more}


def token(
    claims: Mapping[str, Any] | None = None,
    *,
    key: Any = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    **more: Any,
) -> str:
    """A token of ``ann`` that is good for a minute, changed as asked; ``None`` takes out."""
    body = {"sub": "ann", "exp": NOW + 60, **(claims or {}), **more}
    body = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(body, key, algorithm, headers=headers)


def make(
    clock: VirtualClock | None = None, *, loopback: bool = False, **table: Any
) -> tuple[Access, VirtualClock]:
    clock = clock or VirtualClock(NOW * 1000)
    table.setdefault("tokens", {"secret": SECRET})
    return Access(read_settings(table, loopback=loopback), clock), clock


def request(
    target: str = "/live",
    *,
    method: str = "GET",
    address: str = "192.0.2.1",
    websocket: bool = False,
    **headers: str,
) -> RequestFacts:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if websocket:
        lines.append((b"Upgrade", b"websocket"))
    return RequestFacts.parse(method, target, [(b"Host", b"live.example"), *lines], address)


def bearer(text: str, **more: Any) -> RequestFacts:
    return request(authorization=f"Bearer {text}", **more)


def sign_in(access: Access, facts: RequestFacts) -> Identity:
    return asyncio.run(access.authenticate(facts))
