"""Power cuts and kills at every kind of moment, by the thousand, from printed seeds."""

from __future__ import annotations

import pytest
from crash_harness import lives

from mainstem.filesystem import SpaceAhead

LIVES_PER_TEST = 50


@pytest.fixture(autouse=True)
def space_is_reserved_for_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpaceAhead, "FROM", 700)


def run_lives(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + LIVES_PER_TEST):
        try:
            assert lives(seed) >= 3
        except BaseException as error:
            error.add_note(f"reproduce with crash_harness.lives({seed})")
            raise


@pytest.mark.parametrize("first_seed", range(0, 400, LIVES_PER_TEST))
def test_nothing_durable_is_lost_and_nothing_invented(first_seed: int) -> None:
    run_lives(first_seed)


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(10_000, 12_500, LIVES_PER_TEST))
def test_thousands_of_crashes_lose_nothing_durable(first_seed: int) -> None:
    run_lives(first_seed)
