"""Whose connection it is: the address behind proxies that are trusted to tell."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
FARTHEST = 32  # entries of X-Forwarded-For that are looked at, from the right


class Proxies:
    """Networks whose ``X-Forwarded-For`` is believed. Immutable, so thread-safe."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def client_of(self, peer: str, forwarded_for: str | None) -> str:
        """Address of the client: ``peer``, or what trusted proxies say stood before them.

        Read from the right, because everything to the left of the last address that is not a
        trusted proxy was written by somebody who is not.
        """
        client = read_address(peer)
        if client is None:
            return peer
        if not self._trusts(client) or not forwarded_for:
            return str(client)
        for entry in reversed(forwarded_for.rsplit(",", FARTHEST)[-FARTHEST:]):
            before = read_address(entry.strip())
            if before is None:
                break  # damaged: what is left of it cannot be placed
            client = before
            if not self._trusts(client):
                break
        return str(client)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def read_address(text: str) -> Address | None:
    """The address in ``text``, with or without a port or brackets; IPv4 where mapped."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def limit_key(address: str) -> str:
    """What limits count by: an IPv4 address, or the /64 that one IPv6 customer has."""
    parsed = read_address(address)
    if parsed is None:
        return address[:100]
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)
