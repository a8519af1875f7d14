"""The gateway's port: one address, a listening socket per worker."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from mainstem.errors import Invalid, Unavailable


def parse_address(text: str, what: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT``. Raises ``Invalid`` with the text and an example."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 0xFFFF):
        raise Invalid(f"{what} address {text!r} is not HOST:PORT: write, say, 127.0.0.1:9094")
    return host, int(port)


def reserve(text: str, what: str, *, insecure: bool) -> socket.socket:
    """A bound socket that does not listen; it holds the port for those that do.

    Every worker listens on a socket of its own (``SO_REUSEPORT``), and the kernel spreads the
    connections. Port 0 picks a free one. Raises ``Invalid`` (bad address, or open to the network
    without ``insecure``) or ``Unavailable`` (port taken).
    """
    family, address = resolve(text, what)
    if not (insecure or ipaddress.ip_address(address[0]).is_loopback):
        raise Invalid(
            f"{what} address {text} is open to the network, without TLS: put a TLS proxy before "
            "127.0.0.1, or add --insecure if the network is trusted"
        )
    try:
        if address[1]:
            # A stranger's socket in the same group would take part of our connections unnoticed.
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        holder = socket.socket(family, socket.SOCK_STREAM)
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(address)
        except OSError:
            holder.close()
            raise
    except OSError as error:
        raise _bind_error(error, text, what) from error
    return holder


def resolve(text: str, what: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address that the name has. Raises ``Invalid``."""
    host, port = parse_address(text, what)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise Invalid(f"{what} address {text!r} is unknown: {error.strerror}") from error
    return family, (str(address[0]), int(address[1]))


def is_loopback(holder: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(holder.getsockname()[0]).is_loopback


def bound(holder: socket.socket) -> str:
    """``HOST:PORT`` of a socket, with brackets around IPv6."""
    host, port = holder.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_error(error: OSError, text: str, what: str) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return Unavailable(
            f"{what} address {text} is in use by another process: stop it, or choose another port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Invalid(f"{what} address {text} is not permitted: choose a port above 1023")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return Invalid(f"{what} address {text} cannot be listened on: {reason}")
