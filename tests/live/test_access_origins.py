"""Which pages may call, and what browsers are told."""

from __future__ import annotations

import pytest

from mainstem.live.access import AccessDenied
from mainstem.live.access.origins import Origins, check_origin_pattern


def origins(*patterns: str, hosts: tuple[str, ...] = (), credentials: bool = True) -> Origins:
    return Origins(patterns, hosts, credentials=credentials)


PAGE = "https://app.example"


def test_an_allowed_origin_is_named_exactly_with_credentials() -> None:
    assert origins(PAGE).headers(PAGE, "GET") == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After",
    }


def test_without_credentials_there_is_no_such_header() -> None:
    headers = origins(PAGE, credentials=False).headers(PAGE, "GET")
    assert "Access-Control-Allow-Credentials" not in headers


def test_a_preflight_is_told_methods_headers_and_for_how_long() -> None:
    headers = origins(PAGE).headers(PAGE, "OPTIONS")
    assert headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert headers["Access-Control-Allow-Headers"] == (
        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
    )
    assert headers["Access-Control-Max-Age"] == "600"
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert headers["Vary"] == (
        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    )


def test_a_request_without_an_origin_still_varies_by_it() -> None:
    assert origins(PAGE).headers(None, "GET") == {"Vary": "Origin"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.evil.test",
        "https://evilapp.example",
        "https://app.example:8443",
        "https://app.example:4430",
        "http://app.example",
        "https://app.example/",
        "https://app.example#",
        "https://user@app.example",
        "HTTPS://APP.EXAMPLE",
        "https://app.example\n",
        "https://app.example, https://evil.test",
        "https://appxexample",
        "null",
        "",
        "*",
        "file://",
    ],
)
def test_other_origins_are_refused(origin: str) -> None:
    with pytest.raises(AccessDenied) as caught:
        origins(PAGE).headers(origin, "GET", host="live.example")
    assert (caught.value.status, caught.value.reason) == (403, "origin")


def test_the_default_port_may_be_written_in_the_list() -> None:
    assert origins("https://app.example:443").allows(PAGE, None)
    assert origins("http://app.example:80").allows("http://app.example", None)
    assert not origins("http://app.example:443").allows("http://app.example", None)


def test_a_wildcard_is_for_subdomains_only() -> None:
    rule = origins("https://*.app.example")
    assert rule.allows("https://a.app.example", None)
    assert rule.allows("https://a.b.app.example", None)
    for other in ("https://app.example", "https://eviltapp.example", "https://.app.example"):
        assert not rule.allows(other, None)
    assert not rule.allows("https://a.app.example.evil.test", None)


def test_a_wildcard_port_is_for_that_host_only() -> None:
    rule = origins("http://localhost:*")
    assert rule.allows("http://localhost:5173", None)
    assert rule.allows("http://localhost", None)
    assert not rule.allows("http://localhost.evil.test:80", None)


def test_everyone_is_allowed_but_without_credentials() -> None:
    headers = origins("*").headers("https://anybody.test", "GET")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers


def test_the_null_origin_must_be_listed() -> None:
    assert origins("null").allows("null", None)
    assert not origins(PAGE).allows("null", "null")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://live.example", "live.example"),
        ("https://live.example", "live.example"),
        ("https://live.example", "live.example:443"),
        ("http://live.example:9000", "live.example:9000"),
        ("http://[::1]:9000", "[::1]:9000"),
        ("https://live.example", "LIVE.example"),
    ],
)
def test_pages_of_the_server_itself_are_allowed(origin: str, host: str) -> None:
    assert origins().allows(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://live.example:9001", "live.example:9000"),
        ("http://live.example", "live.example:9000"),
        ("http://other.example", "live.example"),
        ("http://live.example", "live.example@evil.test"),
        ("http://live.example", "evil.test@live.example"),
        ("http://live.example", "live.example/x"),
        ("http://live.example", "live.example:x"),
        ("http://live.example", ""),
        ("http://live.example", None),
    ],
)
def test_pages_of_another_port_or_name_are_not(origin: str, host: str | None) -> None:
    assert not origins().allows(origin, host)


def test_a_host_that_is_not_ours_is_refused() -> None:
    # DNS rebinding: the page's own name, pointing at this machine.
    rule = origins(hosts=("localhost", "127.0.0.1", "::1"))
    for host in ("localhost", "localhost:9000", "127.0.0.1:9000", "[::1]:9000", "LOCALHOST"):
        rule.check_host(host)
    for host in (
        "evil.test",
        "evil.test:9000",
        "127.0.0.1.evil.test",
        "",
        None,
        "localhost@e.test",
    ):
        with pytest.raises(AccessDenied):
            rule.check_host(host)


def test_any_host_is_ours_where_none_is_configured() -> None:
    origins().check_host("anything.test")


def test_a_cookie_counts_only_beside_a_trusted_origin() -> None:
    rule = origins(PAGE)
    rule.check_ambient({"origin": PAGE, "host": "live.example"})
    rule.check_ambient({"origin": "https://live.example", "host": "live.example"})
    rule.check_ambient({"sec-fetch-site": "same-origin", "host": "live.example"})
    for headers in (
        {"host": "live.example"},
        {"sec-fetch-site": "cross-site", "host": "live.example"},
        {"sec-fetch-site": "same-site", "host": "live.example"},
        {"origin": "https://evil.test", "sec-fetch-site": "same-origin", "host": "live.example"},
    ):
        with pytest.raises(AccessDenied):
            rule.check_ambient(headers)


def test_everyones_pages_are_trusted_with_no_cookie() -> None:
    with pytest.raises(AccessDenied):
        origins("*").check_ambient({"origin": "https://evil.test", "host": "live.example"})


@pytest.mark.parametrize(
    "pattern",
    [
        "app.example",
        "https://app.example/",
        "https://*",
        "https://a.*.example",
        "HTTPS://A",
        "ws://a",
    ],
)
def test_patterns_that_would_never_match_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        check_origin_pattern(pattern)
