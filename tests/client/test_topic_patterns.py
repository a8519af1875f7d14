"""Patterns of topic names: what the client matches, and how they are said in RE2's syntax."""

from __future__ import annotations

import re

import pytest

from mainstem.client.consumer.patterns import as_re2, matching
from mainstem.client.metadata import TopicMetadata


def test_names_match_as_a_whole_and_internal_topics_never() -> None:
    topics = [
        TopicMetadata(name, None, name.startswith("__"), ())
        for name in ("orders-2", "orders-1", "my-orders-1", "orders", "__orders-1")
    ]
    assert matching(re.compile(r"(__)?orders-\d"), topics) == ("orders-1", "orders-2")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (re.compile(r"orders-\d+"), r"orders-\d+"),
        (re.compile("a.b", re.IGNORECASE), "(?i)a.b"),
        (re.compile("a.b", re.IGNORECASE | re.DOTALL), "(?is)a.b"),
        (re.compile(r"a|b+|c{2}"), r"a|b+|c{2}"),
        (re.compile(r"(?P<name>a)b"), r"(?P<name>a)b"),
        (re.compile("a b", re.VERBOSE), None),
        (re.compile("a(?=b).*"), None),
        (re.compile("(?!a).*"), None),
        (re.compile("(?<!a)b"), None),
        (re.compile(r"(a)\1"), None),
        (re.compile(r"(?P<n>a)(?P=n)"), None),
        (re.compile("(?>a)b"), None),
        (re.compile("a++b"), None),
    ],
)
def test_a_pattern_is_said_in_re2_where_it_can_be(
    pattern: re.Pattern[str], expected: str | None
) -> None:
    assert as_re2(pattern) == expected
