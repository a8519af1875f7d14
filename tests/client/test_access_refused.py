"""Security features against a broker that has none: a clear answer, at once."""

from __future__ import annotations

import pytest

import mainstem as ms


def test_features_a_broker_lacks_are_named(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="access control lists are not supported by the broker"):
        stem.access.acls()
    with pytest.raises(ms.Invalid, match="SCRAM users are not supported"):
        stem.access.set_password("alice", "secret", iterations=4096)
    with pytest.raises(ms.Invalid, match="client quotas are not supported") as found:
        stem.access.quotas()
    assert found.value.code == 35


def test_the_cluster_is_described(stem: ms.Stem) -> None:
    assert list(stem.access.describe_cluster().brokers.values()) == [stem.address]


def test_a_login_to_a_broker_without_logins_is_refused(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="takes no logins: connect without security="):
        ms.connect(stem.address, security=ms.Sasl("PLAIN", "a", "b"))


def test_security_of_another_type_is_refused(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="security=tuple"):
        ms.connect(stem.address, security=("a", "b"))
