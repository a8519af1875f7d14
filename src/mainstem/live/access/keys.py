"""Keys that tokens are verified with: configured ones, and JSON Web Key Sets that rotate.

Sources: RFC 7517 (JWK), RFC 7518 (algorithms), RFC 8725 (best practice: an algorithm belongs
to its key, never to the token).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mainstem.errors import Invalid
from mainstem.live.access.settings import SHORTEST_SECRET, TokenSettings

SMALLEST_RSA = 2048  # bits: RFC 7518 section 3.3
MOST_KEYS = 100
ALGORITHMS = ("HS256", "RS256", "ES256")


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the only algorithm it is for."""

    algorithm: str
    material: Any
    key_id: str | None = None


class KeySource(Protocol):
    """Where keys come from."""

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        """Keys that may have signed a token of this header; empty: none."""
        ...


def matching(keys: Sequence[Key], algorithm: str, key_id: str | None) -> list[Key]:
    """Those of ``keys`` that fit a token's header: the algorithm must, a key id if both say."""
    return [
        key
        for key in keys
        if key.algorithm == algorithm
        and (key_id is None or key.key_id is None or key.key_id == key_id)
    ]


class StaticKeys:
    """Keys from the configuration."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        return matching(self._keys, algorithm, key_id)


def configured_keys(settings: TokenSettings) -> list[Key]:
    """Keys that ``settings`` name directly. Raises ``Invalid`` for a file without a fit one."""
    keys = []
    secret = settings.secret.encode() if settings.secret is not None else None
    if settings.secret_file is not None:
        secret = _read(settings.secret_file).strip()
        if len(secret) < SHORTEST_SECRET:
            raise Invalid(
                f"{settings.secret_file} holds {len(secret)} bytes: HS256 needs "
                f"{SHORTEST_SECRET} at least (RFC 7518)"
            )
    if secret is not None:
        keys.append(Key("HS256", secret))
    if settings.public_key_file is not None:
        keys.append(public_key(_read(settings.public_key_file), settings.public_key_file))
    return keys


def public_key(pem: bytes, origin: str) -> Key:
    """The key in a PEM file. Raises ``Invalid`` unless it is RSA or P-256, and public."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        material = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(f"{origin} holds no public key in PEM: {error}") from error
    algorithm = _algorithm_of(material)
    if algorithm is None:
        raise Invalid(f"{origin} must hold an RSA key of {SMALLEST_RSA} bits or more, or a P-256")
    return Key(algorithm, material)


def read_jwks(document: bytes) -> list[Key]:
    """Public signing keys of a JWK Set; those of other kinds and uses are passed over.

    Symmetric keys too: a set is public, and a secret in it is none. Raises ``Invalid`` when
    the document is no JWK Set, or has no fit key.
    """
    try:
        keys = msgspec.json.decode(document, type=_KeySet).keys
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"not a JSON Web Key Set: {error}") from error
    found = [key for entry in keys[:MOST_KEYS] if (key := _read_jwk(entry)) is not None]
    if not found:
        raise Invalid("the JSON Web Key Set has no RSA (2048 bits) or P-256 key for signatures")
    return found


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _read_jwk(entry: dict[str, Any]) -> Key | None:
    from jwt import PyJWK, PyJWTError

    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    operations = entry.get("key_ops", ["verify"])
    if (
        algorithm is None
        or entry.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or entry.get("alg", algorithm) != algorithm
        or "d" in entry  # a private key that was published is nobody's any more
    ):
        return None
    try:
        material = PyJWK(entry, algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if _algorithm_of(material) != algorithm:
        return None
    key_id = entry.get("kid")
    return Key(algorithm, material, key_id if isinstance(key_id, str) else None)


def _algorithm_of(material: object) -> str | None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(material, RSAPublicKey) and material.key_size >= SMALLEST_RSA:
        return "RS256"
    if isinstance(material, EllipticCurvePublicKey) and isinstance(material.curve, SECP256R1):
        return "ES256"
    return None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
