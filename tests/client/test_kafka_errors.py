from __future__ import annotations

import pytest

from mainstem.client import error_for, is_retriable
from mainstem.client.kafka_errors import TABLE
from mainstem.errors import Conflict, Corrupt, Denied, Invalid, Unavailable
from mainstem.wire import ErrorCode

CODES = [code for code in ErrorCode if code is not ErrorCode.none]


def test_the_table_has_every_code_and_no_other() -> None:
    assert set(TABLE) == {int(code) for code in CODES}


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_code_is_one_of_our_kinds_keeps_its_code_and_says_what_to_do(code: ErrorCode) -> None:
    error = error_for(int(code), "append to 'flights'")
    assert type(error) in {Unavailable, Conflict, Invalid, Denied, Corrupt}
    assert error.code == int(code)
    text = str(error)
    assert text.startswith("append to 'flights': ")
    assert text.endswith(f"({code.name.upper()})")
    _, meaning, advice = TABLE[int(code)]
    assert len(meaning) > 8
    assert len(advice) > 4
    assert advice in text


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_what_kafka_calls_retriable_is_unavailable_with_three_reasons_not_to(
    code: ErrorCode,
) -> None:
    """Corrupt in flight, an unknown topic, and "nothing to do" are retried only inside."""
    kind = TABLE[int(code)][0]
    if kind is Unavailable:
        return
    exceptions = {"corrupt_message", "unknown_topic_or_partition", "election_not_needed"}
    assert not is_retriable(int(code)) or code.name in exceptions


def test_a_denied_request_is_denied() -> None:
    denied = {code.name for code in CODES if "authorization_failed" in code.name}
    assert len(denied) == 5
    assert all(TABLE[int(ErrorCode[name])][0] is Denied for name in denied)


def test_the_brokers_own_reason_comes_before_our_advice() -> None:
    error = error_for(36, "create topic 'a'", "Topic 'a' already exists.")
    assert str(error) == (
        "create topic 'a': Topic 'a' already exists; use it, or choose another name "
        "(TOPIC_ALREADY_EXISTS)"
    )


def test_a_reason_that_gives_advice_itself_is_not_given_a_second() -> None:
    error = error_for(40, "create topic 'a'", "no setting 'x': did you mean 'y'?")
    assert str(error) == "create topic 'a': no setting 'x': did you mean 'y'? (INVALID_CONFIG)"


def test_a_code_nobody_knows_yet_is_invalid_and_keeps_its_number() -> None:
    error = error_for(9999, "fetch")
    assert isinstance(error, Invalid)
    assert error.code == 9999
    assert "9999" in str(error)
    assert not is_retriable(9999)
