"""What the embedded broker does not have is refused at once, and clearly."""

from __future__ import annotations

import pytest

import mainstem as ms


def test_the_embedded_broker_says_that_it_has_no_transactions(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="has no transactions; append without them"):
        stem.transactions("any")


def test_the_embedded_broker_says_that_it_has_no_new_groups(stem: ms.Stem) -> None:
    topic = stem.topic("no-new-groups", create=True)
    with pytest.raises(ms.Invalid, match="KIP-848"):
        stem.consumer("any", topic.name, protocol="consumer")


@pytest.mark.parametrize(("name", "timeout"), [("", 60.0), ("x", 0.0), ("x", -1.0)])
def test_transactions_check_their_arguments(stem: ms.Stem, name: str, timeout: float) -> None:
    with pytest.raises(ms.Invalid, match="is not valid"):
        stem.transactions(name, timeout=timeout)


def test_committed_reads_work_where_nothing_is_transactional(stem: ms.Stem) -> None:
    topic = stem.topic("plain-only", create=True)
    topic.append([b"a", b"b"])
    found = [
        v for batch in topic.read(isolation="read_committed") for v in batch["value"].to_pylist()
    ]
    assert found == [b"a", b"b"]
    assert topic.offsets(committed=True) == topic.offsets()
    with pytest.raises(ms.Invalid, match="did you mean 'read_committed'"):
        topic.read(isolation="read_comitted")  # type: ignore[arg-type]
