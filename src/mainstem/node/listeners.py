"""Bound sockets and the rule about who may reach them."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from mainstem.errors import Invalid, Unavailable
from mainstem.node.config import parse_address

_BACKLOG = 4096


def listen(text: str, what: str, *, insecure: bool) -> socket.socket:
    """A listening socket at ``HOST:PORT``; port 0 picks a free one.

    Raises ``Invalid`` (bad address, or open to the network without ``insecure``) or
    ``Unavailable`` (port taken).
    """
    host, port = parse_address(text, what)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise Invalid(f"{what} address {text!r} is unknown: {error.strerror}") from error
    if not (insecure or ipaddress.ip_address(address[0]).is_loopback):
        raise Invalid(
            f"{what} address {text} is open to the network, without TLS or passwords: "
            "listen on 127.0.0.1, or add --insecure if the network is trusted"
        )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(error, text, what) from error
    return listener


def bound(listener: socket.socket) -> str:
    """``HOST:PORT`` of a listener."""
    return join(*listener.getsockname()[:2])


def join(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(listener: socket.socket) -> tuple[str, int]:
    """Where this machine itself reaches the listener: loopback for a wildcard address."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    return host, port


def _bind_error(error: OSError, text: str, what: str) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return Unavailable(
            f"{what} address {text} is in use by another process: stop it, or choose another port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Invalid(f"{what} address {text} is not permitted: choose a port above 1023")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return Invalid(f"{what} address {text} cannot be listened on: {reason}")
