"""The [access] table: what is wrong is said, with the key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from access_kit import SECRET

from mainstem.errors import Invalid
from mainstem.live.access import AccessSettings, LimitSettings, read_settings


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"orgins": []}, "access.origins"),
        ({"tokens": {"secrets": "x"}}, "access.tokens.secret"),
        ({"limits": {"connection_per_user": 1}}, "access.limits.connections_per_user"),
        ({"namespaces": {"a": {"anonymus": []}}}, "access.namespaces.a.anonymous"),
        ({"namespaces": {"a": {"user": ["read"]}}}, "read"),
        ({"namespaces": {"a": {"template": "b:{sub}"}}}, "not of namespace"),
        ({"namespaces": {"a": {"template": "a:{sub}", "anonymous": ["subscribe"]}}}, "anonymous"),
        ({"namespaces": 7}, "namespaces"),
        ({"tokens": {"secret": "short"}}, "32"),
        ({"tokens": {"secret": SECRET, "secret_file": "x"}}, "exclude"),
        ({"tokens": {"jwks_url": "https://a/", "jwks_file": "x"}}, "exclude"),
        ({"tokens": {"jwks_url": "http://keys.example/"}}, "https"),
        ({"tokens": {"jwks_url": "file:///etc/passwd"}}, "https"),
        ({"tokens": {"leeway": -1}}, "leeway"),
        ({"tokens": {"leeway": float("inf")}}, "leeway"),
        ({"tokens": {"leeway": float("nan")}}, "leeway"),
        ({"origins": ["example.org"]}, "origin"),
        ({"origins": ["*", "https://a.example"]}, "leave"),
        ({"trusted_proxies": ["10.0.0.0/99"]}, "10.0.0.0/99"),
        ({"tickets": {"seconds": 31}}, "30"),
        ({"tickets": {"seconds": 0}}, "30"),
        ({"limits": {"publishes_burst": 0}}, "publishes_burst"),
        ({"limits": {"remembered": 0}}, "remembered"),
        ({"limits": {"connections_per_user": -1}}, "connections_per_user"),
        ({"warning": -1}, "warning"),
    ],
)
def test_a_mistake_is_named(table: dict[str, Any], word: str) -> None:
    with pytest.raises(Invalid, match="access") as caught:
        read_settings(table, loopback=False)
    assert word in str(caught.value)


def test_a_file_of_everything_is_read() -> None:
    settings = read_settings(
        {
            "origins": ["https://app.example"],
            "hosts": ["live.example"],
            "trusted_proxies": ["10.0.0.0/8", "::1"],
            "warning": 10,
            "tokens": {"secret": SECRET, "audience": ["live"], "cookie": "__Host-live"},
            "limits": {"connections_per_user": 4},
            "tickets": {"seconds": 5, "any_node": True},
            "namespaces": {"comments": {"anonymous": ["subscribe", "history"], "claims": False}},
        },
        loopback=False,
    )
    assert settings.limits.connections_per_user == 4
    assert settings.tokens.cookie == "__Host-live"


@pytest.mark.parametrize("loopback", [True, False])
def test_settings_travel_to_workers_as_json(*, loopback: bool) -> None:
    settings = read_settings({"tokens": {"secret": SECRET}}, loopback=loopback, workers=3)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=AccessSettings) == settings


def test_loopback_opens_nothing_beside_what_is_configured() -> None:
    table = {"namespaces": {"rooms": {"anonymous": ["subscribe"]}}}
    assert set(read_settings(table, loopback=True).namespaces) == {"rooms"}


def test_loopback_keeps_limits_origins_and_hosts_that_are_configured() -> None:
    table = {
        "limits": {"connections_per_user": 4},
        "origins": ["https://app.example"],
        "hosts": ["live.example"],
    }
    settings = read_settings(table, loopback=True)
    assert settings.limits == LimitSettings(connections_per_user=4)
    assert settings.origins == ("https://app.example",)
    assert settings.hosts == ("live.example",)


def test_loopback_has_no_limits_of_its_own() -> None:
    assert read_settings({}, loopback=True).limits.connections_per_address == 0
    assert read_settings({}, loopback=False).limits.connections_per_address == 1000
