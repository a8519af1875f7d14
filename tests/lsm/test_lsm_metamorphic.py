"""The same operations under different options give the same answers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from lsm_life import FAMILIES, Script, apply, commit

from mainstem.lsm import BlockCache, Store
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem


def options_from(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any], int]:
    store = {
        "sync": rng.choice(("batch", "group", "none", "external")),
        "memtable_bytes": rng.choice((1 << 10, 5 << 10, 1 << 20)),
        "file_bytes": rng.choice((1 << 10, 9 << 10, 1 << 20)),
        "slice_bytes": rng.choice((256, 3000, 1 << 20)),
        "background": rng.choice(("manual", "inline")),
        "hash_seed": rng.randrange(1 << 64),
    }
    family = {
        "codec": rng.choice(("none", "lz4", "zstd")),
        "upper_codec": rng.choice(("none", "lz4")),
        "filter_bits": rng.choice((0.0, 1.0, 10.0, 20.0)),
        "block_bytes": rng.choice((256, 700, 16 << 10)),
        "fan_in": rng.choice((2, 3, 8)),
    }
    return store, family, rng.choice((0, 3000, 1 << 20))


def answers(script: Script, seed: int) -> list[object]:
    """What a store with random options says while it lives through ``script``."""
    rng = random.Random(seed)
    questions = random.Random(script.seed)
    options, family, cache = options_from(rng)
    filesystem = CrashFileSystem()
    said: list[object] = []

    def opened() -> Store:
        store = Store.open(
            "s",
            filesystem=filesystem,
            clock=VirtualClock(),
            cache=BlockCache(cache),
            **options,
        )
        for name in FAMILIES[1:]:
            store.family(name, **family)
        return store

    store = opened()
    for step in script.made:
        commit(store, step)
        for _ in range(rng.randrange(4)):
            store.step()
        chance = rng.random()
        if chance < 0.05:
            store.close()
            store = opened()
        elif chance < 0.1:
            store.family(rng.choice(FAMILIES)).compact()
        elif chance < 0.2:
            store.flush()
        keys = [b"key%03d" % questions.randrange(70) for _ in range(20)]
        low, high = sorted((questions.choice(keys), questions.choice(keys)))
        reader = store.family(questions.choice(FAMILIES))
        said.append(reader.get_batch(keys).to_pylist())
        reverse = questions.random() < 0.5
        said.append(reader.scan(low, high, reverse=reverse, limit=9).read_all().to_pydict())
    said.append({name: dict(store.family(name).items()) for name in FAMILIES})
    store.close()
    return said


@pytest.mark.parametrize("seed", range(6))
def test_options_change_no_answer(seed: int) -> None:
    script = Script(seed=seed, steps=60)
    first = answers(script, seed * 1000)
    assert first[-1] == script.made[-1].after
    for other in range(1, 4):
        assert answers(script, seed * 1000 + other) == first, f"seed {seed}, options {other}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_options_change_no_answer_at_length(seed: int) -> None:
    script = Script(seed=seed, steps=150, keys=200)
    now: dict[str, dict[bytes, bytes]] = script.before()
    for step in script.made:
        for operation in step.operations:
            apply(now, operation)
    first = answers(script, seed * 1000)
    assert first[-1] == now
    assert answers(script, seed * 1000 + 1) == first, f"seed {seed}"
