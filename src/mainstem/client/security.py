"""Who a client is and how it reaches a broker: TLS and SASL, as the user gives them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mainstem.errors import Denied, Invalid, MainstemError

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
#: Gives a token for OAUTHBEARER; called for every connection and renewal, in a thread unless
#: it is a coroutine function, so it should cache.
TokenCallback = Callable[[], str | Awaitable[str]]
_MECHANISMS = get_args(Mechanism)


@dataclass(frozen=True, slots=True)
class Sasl:
    """A login. Never printed with its secret.

    ``Sasl("SCRAM-SHA-512", "alice", password)``, the same with ``"PLAIN"`` (which shows the
    password to the broker, and to the network where there is no TLS) and ``"SCRAM-SHA-256"``;
    ``Sasl("OAUTHBEARER", token=callback)`` with ``extensions`` of RFC 7628 where the broker
    wants some. Raises ``Invalid`` for an unknown mechanism or a part that is missing.
    """

    mechanism: Mechanism
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: TokenCallback | None = field(default=None, repr=False)
    extensions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mechanism not in _MECHANISMS:
            raise Invalid(
                f"{self.mechanism!r} is not a SASL mechanism that Mainstem knows: use one of "
                f"{', '.join(_MECHANISMS)}",
                code=33,
            )
        if self.mechanism == "OAUTHBEARER":
            if not callable(self.token):
                raise Invalid("OAUTHBEARER needs token=…, a function that returns a token")
            if self.username is not None or self.password is not None:
                raise Invalid("OAUTHBEARER takes token=…, no username or password")
            return
        if self.token is not None:
            raise Invalid(f"{self.mechanism} takes a username and a password, no token")
        if not self.username or not isinstance(self.username, str):
            raise Invalid(f"{self.mechanism} needs a username")
        if not self.password or not isinstance(self.password, str):
            raise Invalid(f"{self.mechanism} needs a password for user {self.username!r}")
        if self.mechanism == "PLAIN" and "\0" in self.username + self.password:
            raise Invalid("a username or password for PLAIN cannot hold a zero byte (RFC 4616)")

    @property
    def subject(self) -> str:
        """Who logs in how, for messages."""
        who = "with a token" if self.username is None else f"as {self.username!r}"
        return f"{who} by {self.mechanism}"


@dataclass(frozen=True, slots=True)
class Tls:
    """How to encrypt, and whom to trust.

    ``ca`` is a PEM file of authorities (default: the system's), ``certificate`` and ``key`` PEM
    files that show who we are (mutual TLS), ``key_password`` opens the key. The broker's name is
    checked against its certificate unless ``check_hostname`` is false. Raises ``Invalid`` from
    ``context`` for files that cannot be used.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """The context for asyncio; TLS 1.2 or newer."""
        if self.key is not None and self.certificate is None:
            raise Invalid("tls has a key without a certificate: give both")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:
            raise Invalid(f"the authorities in {self.ca} cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.check_hostname
        if self.certificate is not None:
            try:
                # A prompt would hang a service, so an absent password is an empty one.
                context.load_cert_chain(self.certificate, self.key, lambda: self.key_password or "")
            except (OSError, ValueError) as error:
                raise Invalid(
                    f"the certificate {self.certificate} and its key cannot be used: {error}"
                ) from error
        return context


def tls_context(tls: Tls | ssl.SSLContext | bool | None) -> ssl.SSLContext | None:
    """What users may write for ``tls``, as a context; ``None`` for a connection in clear."""
    if tls is None or tls is False:
        return None
    if tls is True:
        return Tls().context()
    if isinstance(tls, Tls):
        return tls.context()
    if isinstance(tls, ssl.SSLContext):
        return tls
    raise Invalid(f"tls={tls!r} is not valid: use True, Tls(ca=…) or an ssl.SSLContext")


def check_sasl(security: Sasl | None) -> Sasl | None:
    """``security`` as given. Raises ``Invalid`` for anything but a ``Sasl``."""
    if security is not None and not isinstance(security, Sasl):
        raise Invalid(f'security={type(security).__name__} is not valid: use Sasl("PLAIN", …)')
    return security


def tls_error(name: str, error: ssl.SSLError) -> MainstemError:
    """What a failed TLS handshake with the broker ``name`` means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Denied(
            f"the certificate of {name} is not trusted: {error.verify_message}: give the "
            "authority that signed it with tls=Tls(ca=…), or use the name it was made for",
            code=58,
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason:
        return Denied(f"{name} refused the TLS connection: {reason}: it may want a certificate")
    return Invalid(f"{name} does not speak TLS as we do: {reason}: is this its TLS port?")
