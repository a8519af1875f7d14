"""Sets of users in three sizes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import Corrupt
from mainstem.live.viewers.settings import EXACT_USERS, SKETCH_ERROR
from mainstem.live.viewers.users import NOBODY, Users, combine, hash_of, merge, pack

GROUPS = st.lists(st.sets(st.integers(0, 30).map(str), max_size=20), max_size=5)


def names(start: int, stop: int) -> list[str]:
    return [f"user {number}" for number in range(start, stop)]


def form(users: Users) -> str:
    return next(name for name in users.__struct_fields__ if getattr(users, name) is not None)


@given(GROUPS, st.lists(st.integers(0, 30), min_size=5, max_size=5))
def test_small_sets_merge_exactly_in_any_mixture_of_names_and_hashes(
    groups: list[set[str]], limits: list[int]
) -> None:
    packed = [pack(each, most_names=limit) for each, limit in zip(groups, limits, strict=False)]
    everybody = set().union(*groups)
    tally = merge(packed)
    assert (tally.users, tally.error) == (len(everybody), 0.0)
    if all(form(each) == "names" for each in packed):
        assert tally.names == everybody
    assert merge([combine(packed, most_names=10)]).users == len(everybody)


def test_the_form_follows_the_size() -> None:
    assert form(pack(names(0, 1000), most_names=1000)) == "names"
    assert form(pack(names(0, 1001), most_names=1000)) == "hashes"
    assert form(pack(names(0, EXACT_USERS), most_names=1000)) == "hashes"
    assert form(pack(names(0, EXACT_USERS + 1), most_names=1000)) == "sketch"


def test_ten_thousand_are_exact() -> None:
    tally = merge([pack(names(0, 6000), most_names=0), pack(names(4000, 10_000), most_names=0)])
    assert (tally.users, tally.error) == (10_000, 0.0)


def test_more_are_estimated_and_say_so() -> None:
    tally = merge(
        [pack(names(0, 60_000), most_names=0), pack(names(40_000, 100_000), most_names=0)]
    )
    assert tally.error == SKETCH_ERROR
    assert abs(tally.users / 100_000 - 1) < 4 * SKETCH_ERROR


def test_an_exact_set_beside_a_sketch_is_counted_once() -> None:
    large = pack(names(0, 20_000), most_names=0)
    inside, beside = pack(names(0, 500), most_names=1000), pack(names(90_000, 95_000), most_names=0)
    assert merge([large, inside]).users == merge([large]).users
    assert abs(merge([large, beside]).users / 25_000 - 1) < 4 * SKETCH_ERROR
    assert merge([combine([large, beside], most_names=0)]) == merge([large, beside])


def test_sets_that_are_exact_alone_stay_exact_together() -> None:
    parts = [pack(names(start, start + 9000), most_names=0) for start in (0, 9000, 18_000)]
    assert (merge(parts).users, merge(parts).error) == (27_000, 0.0)
    assert form(combine(parts, most_names=0)) == "sketch"


def test_nobody_is_a_set_like_others() -> None:
    assert merge([]).users == 0
    assert merge([NOBODY, pack(["ann"], most_names=5)]).names == {"ann"}
    assert merge([combine([], most_names=5)]).users == 0


def test_sets_survive_their_way_over_the_wire() -> None:
    for count in (0, 10, 2000, 20_000):
        users = pack(names(0, count), most_names=1000)
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(users), type=Users)
        sent.check()
        assert sent == users


@pytest.mark.parametrize(
    "users",
    [
        Users(),
        Users(names=[], hashes=b""),
        Users(names=["a"] * 10_001),
        Users(names=["a" * 257]),
        Users(hashes=b"1234567"),
        Users(hashes=b"8" * 8 * 10_001),
        Users(sketch=b""),
        Users(sketch=bytes([60]) * 16_384),
    ],
)
def test_a_set_that_nobody_makes_is_refused(users: Users) -> None:
    with pytest.raises(Corrupt):
        users.check()


def test_a_lone_surrogate_is_a_user_like_another() -> None:
    assert hash_of("\ud800") != hash_of("\ud801")
