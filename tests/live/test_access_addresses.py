"""Whose connection it is."""

from __future__ import annotations

import pytest

from mainstem.live.access import limit_key
from mainstem.live.access.addresses import Proxies

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not a proxy: it may say what it likes
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the left was the client's to write
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "_hidden, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("", "203.0.113.9", ""),
        ("socket", "203.0.113.9", "socket"),
    ],
)
def test_the_client_is_the_last_that_is_not_a_trusted_proxy(
    peer: str, forwarded: str | None, client: str
) -> None:
    assert PROXIES.client_of(peer, forwarded) == client


def test_a_header_of_a_million_entries_is_read_from_the_right_a_little() -> None:
    header = "203.0.113.9," + "10.0.0.2," * 1_000_000 + "10.0.0.2"
    assert PROXIES.client_of("10.0.0.1", header) == "10.0.0.2"


def test_nobody_is_trusted_unless_configured() -> None:
    assert Proxies([]).client_of("10.0.0.1", "203.0.113.9") == "10.0.0.1"
    assert Proxies([]).client_of("127.0.0.1", "203.0.113.9") == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("socket", "socket"),
    ],
)
def test_limits_count_ipv6_customers_by_their_network(address: str, key: str) -> None:
    assert limit_key(address) == key
