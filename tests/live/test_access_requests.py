"""From a request to an identity, and what stands in between."""

from __future__ import annotations

import asyncio

import pytest
from access_kit import NOW, SECRET, bearer, make, request, sign_in, token

from mainstem.errors import Invalid
from mainstem.live.access import (
    ANONYMOUS,
    AccessDenied,
    Identity,
    LimitReached,
    LimitSettings,
    RequestFacts,
    Revocations,
    Right,
    Source,
    parse_cookies,
    read_settings,
)
from mainstem.testing.clock import VirtualClock

OPEN = {"namespaces": {"comments": {"anonymous": ["subscribe"], "user": ["subscribe", "publish"]}}}
CLOSED = {"namespaces": {"comments": {"user": ["subscribe"]}}}
COOKIE = {"tokens": {"secret": SECRET, "cookie": "session"}}
PAGE = "https://app.example"


def test_nobody_is_anonymous_where_something_is_open() -> None:
    access, _ = make(**OPEN)
    assert sign_in(access, request()) is ANONYMOUS


def test_nobody_is_refused_where_nothing_is_open() -> None:
    access, _ = make(**CLOSED)
    with pytest.raises(AccessDenied) as caught:
        sign_in(access, request())
    assert caught.value.status == 401


def test_a_websocket_may_sign_in_with_its_first_message() -> None:
    access, _ = make(**CLOSED)
    facts = request(websocket=True)
    assert sign_in(access, facts) is ANONYMOUS
    with pytest.raises(AccessDenied):
        access.may(ANONYMOUS, Right.SUBSCRIBE, "comments:1")
    assert asyncio.run(access.authenticate_token(token(), facts)).user == "ann"


def test_a_bad_token_is_refused_even_where_nobody_needs_one() -> None:
    access, _ = make(**OPEN)
    with pytest.raises(AccessDenied):
        sign_in(access, bearer("x"))


@pytest.mark.parametrize("value", ["Basic YTpi", "", "Bearer", "bearer ", "Token x"])
def test_other_authorization_is_refused(value: str) -> None:
    access, _ = make(**OPEN)
    with pytest.raises(AccessDenied):
        sign_in(access, request(authorization=value))


def test_two_authorization_headers_are_refused() -> None:
    access, _ = make(**OPEN)
    lines = [(b"Authorization", f"Bearer {token()}".encode())] * 2
    with pytest.raises(AccessDenied):
        sign_in(access, RequestFacts.parse("GET", "/live", lines, "192.0.2.1"))


def test_the_scheme_is_read_in_any_case() -> None:
    access, _ = make(**OPEN)
    assert sign_in(access, request(authorization=f"bEaReR {token()}")).user == "ann"


def test_a_websocket_brings_its_token_as_a_subprotocol() -> None:
    access, _ = make(**OPEN)
    offered = f"mainstem.live, bearer.{token()}"
    found = sign_in(access, request(websocket=True, sec_websocket_protocol=offered))
    assert (found.user, found.source) == ("ann", Source.PROTOCOL)


def test_a_subprotocol_counts_for_websockets_only() -> None:
    access, _ = make(**OPEN)
    facts = request(sec_websocket_protocol=f"bearer.{token()}")
    assert sign_in(access, facts) is ANONYMOUS


def test_a_cookie_signs_in_where_one_is_configured() -> None:
    access, _ = make(**COOKIE, **OPEN)
    found = sign_in(access, request(cookie=f"a=b; session={token()}"))
    assert (found.user, found.source) == ("ann", Source.COOKIE)
    access, _ = make(**OPEN)
    assert sign_in(access, request(cookie=f"session={token()}")) is ANONYMOUS


def test_a_cookie_cannot_publish_or_open_a_websocket_for_a_strange_page() -> None:
    access, _ = make(origins=[PAGE], **COOKIE, **OPEN)
    cookie = f"session={token()}"
    for websocket, method in ((True, "GET"), (False, "POST")):
        good = request(method=method, websocket=websocket, cookie=cookie, origin=PAGE)
        assert sign_in(access, good).user == "ann"
        for origin in ("https://evil.test", None):
            more = {} if origin is None else {"origin": origin}
            with pytest.raises(AccessDenied):
                sign_in(access, request(method=method, websocket=websocket, cookie=cookie, **more))


def test_a_websocket_of_a_strange_page_is_refused_with_any_token() -> None:
    access, _ = make(origins=[PAGE], **OPEN)
    for more in ({}, {"authorization": f"Bearer {token()}"}):
        with pytest.raises(AccessDenied):
            sign_in(access, request(websocket=True, origin="https://evil.test", **more))
    assert sign_in(access, request(websocket=True, origin=PAGE)) is ANONYMOUS
    assert sign_in(access, request(websocket=True)) is ANONYMOUS  # no browser


def test_upgrade_is_read_in_any_case() -> None:
    lines = [(b"Upgrade", b"WebSocket")]
    assert RequestFacts.parse("GET", "/live/ws", lines, "192.0.2.1").websocket


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_a_token_in_the_url_is_refused_with_a_hint(name: str) -> None:
    access, _ = make(**OPEN)
    with pytest.raises(AccessDenied, match="ticket"):
        sign_in(access, request(f"/live?{name}={token()}"))


def test_a_bearer_token_wins_over_a_cookie() -> None:
    access, _ = make(**COOKIE, **OPEN)
    other = token(sub="bob")
    found = sign_in(access, request(authorization=f"Bearer {token()}", cookie=f"session={other}"))
    assert found.user == "ann"


def test_rights_end_with_the_token() -> None:
    access, clock = make(**OPEN)
    found = sign_in(access, bearer(token()))
    access.may(found, Right.PUBLISH, "comments:1")
    clock.advance(70)
    with pytest.raises(AccessDenied) as caught:
        access.may(found, Right.PUBLISH, "comments:1")
    assert (caught.value.status, caught.value.reason) == (401, "expired")


def test_a_revoked_token_is_refused_at_once_and_at_the_door() -> None:
    access, _ = make(**OPEN)
    text = token(jti="t-1")
    found = sign_in(access, bearer(text))
    access.revoke(token_id="t-1")
    with pytest.raises(AccessDenied, match="revoked"):
        access.may(found, Right.SUBSCRIBE, "comments:1")
    with pytest.raises(AccessDenied, match="revoked"):
        sign_in(access, bearer(text))
    assert sign_in(access, bearer(token(jti="t-2"))).user == "ann"


def test_a_revoked_user_signs_in_again_with_a_new_token() -> None:
    access, clock = make(**OPEN)
    access.revoke(user="ann")
    for text in (token(), token(iat=NOW), token(iat=NOW - 1)):
        with pytest.raises(AccessDenied, match="revoked"):
            sign_in(access, bearer(text))
    clock.advance(1)
    assert sign_in(access, bearer(token(iat=NOW + 1))).user == "ann"
    assert sign_in(access, bearer(token(sub="bob"))).user == "bob"


def test_revoking_needs_a_name() -> None:
    access, _ = make(**OPEN)
    with pytest.raises(Invalid):
        access.revoke()


def test_many_bad_tokens_of_an_address_are_not_looked_at() -> None:
    access, clock = make(limits={"failures_per_address": 1, "failures_burst": 3}, **OPEN)
    for _ in range(3):
        with pytest.raises(AccessDenied):
            sign_in(access, bearer("x"))
    with pytest.raises(LimitReached):
        sign_in(access, bearer(token()))
    assert sign_in(access, bearer(token(), address="192.0.2.2")).user == "ann"
    clock.advance(1)
    assert sign_in(access, bearer(token())).user == "ann"


def test_bad_tokens_are_counted_where_they_come_from_behind_a_proxy() -> None:
    limits = {"failures_per_address": 1, "failures_burst": 1}
    access, _ = make(limits=limits, trusted_proxies=["10.0.0.0/8"], **OPEN)
    with pytest.raises(AccessDenied):
        sign_in(access, bearer("x", address="10.0.0.1", x_forwarded_for="192.0.2.9"))
    facts = bearer(token(), address="10.0.0.1", x_forwarded_for="192.0.2.10")
    assert sign_in(access, facts).user == "ann"
    with pytest.raises(LimitReached):
        sign_in(access, bearer(token(), address="10.0.0.1", x_forwarded_for="192.0.2.9"))


def test_admission_counts_by_address_and_user() -> None:
    access, _ = make(limits={"connections_per_user": 1}, **OPEN)
    ann = Identity("ann", NOW + 60, source=Source.BEARER)
    with access.admit(ann, "192.0.2.1"), pytest.raises(LimitReached):
        access.admit(ann, "192.0.2.2")
    access.admit(ann, "192.0.2.2").release()


def test_publishing_is_counted() -> None:
    access, _ = make(limits={"publishes_per_user": 1, "publishes_burst": 2}, **OPEN)
    ann = Identity("ann", NOW + 60, source=Source.BEARER)
    access.admit_publish(ann, "192.0.2.1")
    access.admit_publish(ann, "192.0.2.1")
    with pytest.raises(LimitReached):
        access.admit_publish(ann, "192.0.2.1")


def test_on_loopback_with_nothing_configured_the_demo_is_open() -> None:
    access, _ = make(loopback=True, tokens={})
    found = sign_in(access, _local("localhost:9000"))
    for channel in ("comments:1", "likes:1", "score:1"):
        for right in Right:
            access.may(found, right, channel)
    access.may(found, Right.SUBSCRIBE, "viewers:1")
    access.may(found, Right.SUBSCRIBE, "presence:1")
    with pytest.raises(AccessDenied):
        access.may(found, Right.SUBSCRIBE, "orders:1")


def test_on_loopback_other_names_and_pages_are_refused() -> None:
    access, _ = make(loopback=True, tokens={})
    with pytest.raises(AccessDenied):
        sign_in(access, _local("evil.test:9000"))
    with pytest.raises(AccessDenied):
        access.cors("https://evil.test", "GET", host="localhost:9000")
    headers = access.cors("http://localhost:5173", "GET", host="localhost:9000")
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:5173"


def test_off_loopback_nothing_is_open_that_is_not_configured() -> None:
    access, _ = make(loopback=False, tokens={})
    with pytest.raises(AccessDenied):
        sign_in(access, request())
    with pytest.raises(AccessDenied):
        access.may(ANONYMOUS, Right.SUBSCRIBE, "comments:1")


def test_on_loopback_with_tokens_configured_nothing_opens_by_itself() -> None:
    access, _ = make(loopback=True)
    with pytest.raises(AccessDenied):
        sign_in(access, _local("localhost"))


def _local(host: str) -> RequestFacts:
    return RequestFacts.parse("GET", "/live", [(b"Host", host.encode())], "127.0.0.1")


def test_cookies_are_read_as_browsers_send_them() -> None:
    assert parse_cookies('a=1; b="2"; c=x=y;d; =e; a=3') == {"a": "1", "b": "2", "c": "x=y"}
    assert parse_cookies("") == {}


def test_a_query_of_very_many_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="fields"):
        RequestFacts.parse("GET", "/live?" + "channel=a&" * 1001, [], "192.0.2.1")


def test_facts_keep_every_value_of_a_query() -> None:
    facts = RequestFacts.parse("get", "/live?channel=a:1&channel=b:2&from=", [], "192.0.2.1")
    assert facts.query == {"channel": ["a:1", "b:2"], "from": [""]}
    assert (facts.method, facts.path) == ("GET", "/live")


def test_what_is_revoked_is_handed_to_those_who_start_later() -> None:
    clock = VirtualClock(NOW * 1000)
    first = Revocations(clock)
    first.add(token_id="t-1", user=None)
    first.add(token_id=None, user="ann")
    clock.advance(100)
    access, _ = make(clock, **OPEN)
    for user, token_id, at in first.entries():
        access.revoke(user=user, token_id=token_id, at=at)
    for text in (token(sub="bob", jti="t-1", exp=NOW + 200), token(iat=NOW, exp=NOW + 200)):
        with pytest.raises(AccessDenied, match="revoked"):
            sign_in(access, bearer(text))
    assert sign_in(access, bearer(token(iat=NOW + 50, exp=NOW + 200))).user == "ann"


def test_revocations_are_forgotten_after_a_day_or_when_too_many() -> None:
    clock = VirtualClock(NOW * 1000)
    revocations = Revocations(clock, remembered=100)
    for number in range(1000):
        revocations.add(token_id=str(number), user=None)
    assert len(revocations) == 100
    clock.advance(86_400)
    revocations.add(token_id="last", user=None)
    assert [each.token_id for each in revocations.entries()] == ["last"]


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip", "X-FORWARDED-FOR"])
def test_on_loopback_what_a_proxy_forwarded_is_refused_until_it_is_configured(name: str) -> None:
    lines = [(b"Host", b"127.0.0.1:9094"), (name.encode(), b"203.0.113.9")]
    facts = RequestFacts.parse("GET", "/live", lines, "127.0.0.1")
    access, _ = make(loopback=True, tokens={})
    with pytest.raises(AccessDenied, match="trusted_proxies") as caught:
        sign_in(access, facts)
    assert (caught.value.status, caught.value.reason) == (403, "proxy")
    access, _ = make(loopback=True, trusted_proxies=["127.0.0.1"], **OPEN)
    assert sign_in(access, facts) is ANONYMOUS


def test_behind_a_configured_proxy_the_limits_are_on() -> None:
    settings = read_settings({"trusted_proxies": ["127.0.0.1"]}, loopback=True)
    assert settings.limits == LimitSettings()
