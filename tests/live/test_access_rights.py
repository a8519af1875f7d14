"""Who may do what with which channel."""

from __future__ import annotations

from typing import Any

import pytest
from access_kit import NOW
from hypothesis import given
from hypothesis import strategies as st

from mainstem.live.access import ANONYMOUS, AccessDenied, Identity, Right, Source, read_settings
from mainstem.live.access.rights import Rights, matches
from mainstem.live.access.templates import check_template, fill


def rights(**namespaces: dict[str, Any]) -> Rights:
    return Rights(read_settings({"namespaces": namespaces}, loopback=False))


def holder(user: str = "ann", **claims: Any) -> Identity:
    return Identity(user, NOW + 60, claims=claims, source=Source.BEARER)


def may(rules: Rights, identity: Identity, right: Right, channel: str) -> bool:
    try:
        rules.check(identity, right, channel)
    except AccessDenied:
        return False
    return True


def test_nothing_configured_is_nothing_allowed() -> None:
    rules = rights()
    everything = {"live": {right.value: ["*"] for right in Right}}
    for identity in (ANONYMOUS, holder(**everything)):
        for right in Right:
            for channel in ("comments:1", "viewers:1", "presence:1", "", ":", "comments"):
                assert not may(rules, identity, right, channel)


def test_a_right_is_for_its_namespace_and_for_nothing_else() -> None:
    rules = rights(comments={"anonymous": ["subscribe"]}, score={"user": ["publish"]})
    assert may(rules, ANONYMOUS, Right.SUBSCRIBE, "comments:1")
    assert not may(rules, ANONYMOUS, Right.HISTORY, "comments:1")
    assert not may(rules, ANONYMOUS, Right.PUBLISH, "score:1")
    assert may(rules, holder(), Right.SUBSCRIBE, "comments:1")
    assert may(rules, holder(), Right.PUBLISH, "score:1")
    assert not may(rules, holder(), Right.PUBLISH, "comments:1")


@pytest.mark.parametrize(
    "channel", ["comments", "comments:", ":1", "", "commentsx:1", "Comments:1"]
)
def test_what_is_no_channel_of_the_namespace_is_denied(channel: str) -> None:
    assert not may(
        rights(comments={"anonymous": ["subscribe"]}), ANONYMOUS, Right.SUBSCRIBE, channel
    )


def test_the_refusal_names_channel_and_right() -> None:
    rules = rights(comments={"user": ["subscribe"]})
    with pytest.raises(AccessDenied, match=r"publish on channel 'comments:1'") as caught:
        rules.check(holder(), Right.PUBLISH, "comments:1")
    assert caught.value.status == 403
    with pytest.raises(AccessDenied, match="sign in") as caught:
        rules.check(ANONYMOUS, Right.SUBSCRIBE, "comments:1")
    assert caught.value.status == 401


def test_a_token_brings_rights_for_single_channels() -> None:
    rules = rights(comments={}, score={})
    identity = holder(
        live={"subscribe": ["comments:42", "score:team-*"], "publish": ["comments:42"]}
    )
    assert may(rules, identity, Right.SUBSCRIBE, "comments:42")
    assert may(rules, identity, Right.PUBLISH, "comments:42")
    assert may(rules, identity, Right.SUBSCRIBE, "score:team-7")
    assert not may(rules, identity, Right.SUBSCRIBE, "comments:421")
    assert not may(rules, identity, Right.SUBSCRIBE, "score:7")
    assert not may(rules, identity, Right.HISTORY, "comments:42")


def test_a_namespace_can_ignore_the_tokens_rights() -> None:
    rules = rights(comments={"claims": False})
    assert not may(rules, holder(live={"subscribe": ["*"]}), Right.SUBSCRIBE, "comments:1")


@pytest.mark.parametrize(
    "claim",
    [None, True, "*", ["*"], {"subscribe": "*"}, {"subscribe": {"*": 1}}, {"subscribe": [1]}],
)
def test_a_claim_of_another_shape_grants_nothing(claim: Any) -> None:
    assert not may(rights(comments={}), holder(live=claim), Right.SUBSCRIBE, "comments:1")


def test_a_template_gives_everybody_their_own_channel_only() -> None:
    rules = rights(user={"template": "user:{sub}", "user": ["subscribe"]})
    assert may(rules, holder("ann"), Right.SUBSCRIBE, "user:ann")
    assert not may(rules, holder("ann"), Right.SUBSCRIBE, "user:bob")
    assert not may(rules, holder("ann"), Right.PUBLISH, "user:ann")
    assert not may(rules, ANONYMOUS, Right.SUBSCRIBE, "user:ann")


def test_a_template_binds_the_tokens_own_rights_too() -> None:
    rules = rights(user={"template": "user:{sub}"})
    identity = holder("ann", live={"subscribe": ["*"]})
    assert may(rules, identity, Right.SUBSCRIBE, "user:ann")
    assert not may(rules, identity, Right.SUBSCRIBE, "user:bob")


def test_a_template_reads_any_claim() -> None:
    rules = rights(org={"template": "org:{tenant}", "user": ["subscribe"]})
    assert may(rules, holder(tenant="acme"), Right.SUBSCRIBE, "org:acme")
    assert may(rules, holder(tenant=7), Right.SUBSCRIBE, "org:7")
    assert not may(rules, holder(tenant="acme"), Right.SUBSCRIBE, "org:other")
    assert not may(rules, holder(), Right.SUBSCRIBE, "org:acme")


def test_expanding_fills_the_users_own_channel() -> None:
    rules = rights(user={"template": "user:{sub}"})
    assert rules.expand(holder("ann"), "user:{sub}") == "user:ann"
    assert rules.expand(holder("ann"), "comments:1") == "comments:1"
    with pytest.raises(AccessDenied):
        rules.expand(ANONYMOUS, "user:{sub}")
    with pytest.raises(AccessDenied):
        rules.expand(holder(), "user:{tenant}")


def test_the_verified_user_wins_over_a_claim_of_that_name() -> None:
    # A ticket carries the user apart; its claims must not say otherwise.
    rules = rights(user={"template": "user:{sub}", "user": ["subscribe"]})
    assert rules.expand(holder("ann", sub="bob"), "user:{sub}") == "user:ann"


@pytest.mark.parametrize(
    "value", ["", "a b", "a*", "{x}", "a\nb", "a?b", "a/b", "x" * 201, None, True]
)
def test_a_claim_that_is_no_name_makes_no_channel(value: Any) -> None:
    with pytest.raises(AccessDenied):
        fill("org:{tenant}", {"tenant": value})


@pytest.mark.parametrize(
    "template",
    ["user", "user:x", "{ns}:x", "user:{a}{b}", "user:{a}-{b}", "user:{}", "user:{a", ""],
)
def test_a_template_that_could_be_anybodys_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        check_template(template)


def test_viewers_are_for_those_who_may_subscribe_to_the_id_somewhere() -> None:
    rules = rights(comments={"anonymous": ["subscribe"]}, rooms={"user": ["presence"]})
    assert may(rules, ANONYMOUS, Right.SUBSCRIBE, "viewers:1")
    assert not may(rules, ANONYMOUS, Right.SUBSCRIBE, "presence:1")
    assert may(rules, holder(), Right.SUBSCRIBE, "presence:1")


def test_viewers_configured_by_name_follow_their_own_rules_only() -> None:
    rules = rights(comments={"anonymous": ["subscribe", "presence"]}, presence={}, viewers={})
    assert not may(rules, ANONYMOUS, Right.SUBSCRIBE, "viewers:1")
    assert not may(rules, ANONYMOUS, Right.SUBSCRIBE, "presence:1")
    rules = rights(viewers={"user": ["subscribe"]})
    assert may(rules, holder(), Right.SUBSCRIBE, "viewers:1")


def test_presence_by_name_takes_the_right_presence() -> None:
    subscribe = rights(presence={"user": ["subscribe"]})
    assert not may(subscribe, holder(), Right.SUBSCRIBE, "presence:1")
    presence = rights(presence={"user": ["presence"]})
    assert may(presence, holder(), Right.SUBSCRIBE, "presence:1")


def test_nobody_publishes_what_the_server_counts() -> None:
    every = [right.value for right in Right]
    rules = rights(viewers={"user": every}, presence={"user": every}, comments={"user": every})
    for channel in ("viewers:1", "presence:1"):
        assert not may(rules, holder(live={"publish": ["*"]}), Right.PUBLISH, channel)


NAMES = st.sampled_from(["a", "b", "ab", "a*", "*", "1", ""])
CHANNELS = st.builds("{}:{}".format, NAMES, NAMES)


@given(CHANNELS, CHANNELS)
def test_a_pattern_opens_at_its_end_only(pattern: str, channel: str) -> None:
    stem, star, rest = pattern.partition("*")
    expected = channel == pattern
    if star and not rest and ":" in stem:
        expected = channel[: len(stem)] == stem
    assert matches(pattern, channel) == expected


def test_the_pattern_for_everything_is_a_star_alone() -> None:
    assert matches("*", "comments:1")
    assert not matches("com*", "comments:1")
