"""The topics in a consumer's subscription: read from untrusted bytes."""

from __future__ import annotations

import io

import pytest
from group_harness import subscription
from hypothesis import given
from hypothesis import strategies as st

from mainstem.broker.groups.subscription import subscribed_topics


def test_what_kio_writes_is_read_in_every_version():
    from importlib import import_module

    from kio.serial import entity_writer

    for version in range(4):
        path = f"kio.schema.consumer_protocol_subscription.v{version}.data"
        schema = import_module(path).ConsumerProtocolSubscription
        owned = {} if version == 0 else {"owned_partitions": ()}
        entity = schema(topics=("a", "häß", "a"), user_data=b"x", **owned)
        out = io.BytesIO()
        entity_writer(schema)(out, entity)
        metadata = version.to_bytes(2, "big") + out.getvalue()
        assert subscribed_topics(metadata) == {"a", "häß"}


def test_no_topics():
    assert subscribed_topics(subscription()) == frozenset()


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"\0",
        b"\0\0\0\0\0",
        b"\xff\xff\0\0\0\0",
        b"\0\0\xff\xff\xff\xff",
        b"\0\0\x7f\xff\xff\xff\0\0",
        b"\0\0\0\0\0\1",
        b"\0\0\0\0\0\1\0\5abc",
        b"\0\0\0\0\0\1\xff\xffabc",
        b"\0\0\0\0\0\1\0\1\xff",
    ],
)
def test_what_is_not_a_subscription_is_nothing(metadata):
    assert subscribed_topics(metadata) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_survived(metadata):
    topics = subscribed_topics(metadata)
    assert topics is None or all(isinstance(topic, str) for topic in topics)
