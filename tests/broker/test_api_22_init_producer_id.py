"""InitProducerId and the ids it hands out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_site import Site, versions

from mainstem.broker.producer_ids import BLOCK_SIZE
from mainstem.errors import Unavailable
from mainstem.wire import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def init(site: Site, version: int = 5, **fields: Any) -> Message:
    given = {"transactional_id": None, "transaction_timeout_ms": 60_000, **fields}
    return site.call(22, version, **given)


@pytest.mark.parametrize("version", versions(22))
def test_every_version_gives_a_fresh_id_with_epoch_zero(site: Site, version: int) -> None:
    first, second = init(site, version), init(site, version)
    assert (first.error_code, first.producer_epoch) == (0, 0)
    assert second.producer_id > first.producer_id >= 0


def test_an_idempotent_producer_that_asks_to_bump_gets_a_new_id(site: Site) -> None:
    old = init(site)
    new = init(site, producer_id=old.producer_id, producer_epoch=old.producer_epoch)
    assert (new.error_code, new.producer_epoch) == (0, 0)
    assert new.producer_id != old.producer_id


@pytest.mark.parametrize("half", [{"producer_id": 5}, {"producer_epoch": 5}])
def test_half_a_producer_is_refused(site: Site, half: dict[str, int]) -> None:
    result = init(site, **half)
    assert (result.error_code, result.producer_id, result.producer_epoch) == (42, -1, -1)


@pytest.mark.parametrize("version", versions(22))
def test_transactions_are_refused_for_good(site: Site, version: int) -> None:
    result = init(site, version, transactional_id="t")
    assert (result.error_code, result.producer_id) == (53, -1)


def test_an_empty_transactional_id_is_invalid(site: Site) -> None:
    assert init(site, transactional_id="").error_code == 42


def test_ids_are_never_repeated_across_restarts(tmp_path: Path) -> None:
    given: list[int] = []
    for _ in range(3):
        with Site(tmp_path) as site:
            given += [site.run(site.producer_ids.next()) for _ in range(BLOCK_SIZE + 1)]
    assert len(set(given)) == len(given)
    assert given == sorted(given)


def test_ids_asked_for_at_once_differ(site: Site) -> None:
    async def many() -> list[int]:
        return await asyncio.gather(*(site.producer_ids.next() for _ in range(2 * BLOCK_SIZE)))

    given = site.run(many())
    assert sorted(given) == list(range(2 * BLOCK_SIZE))  # and no block was begun for nothing


def test_the_last_id_is_not_passed(site: Site) -> None:
    def near_the_end(connection: Any) -> None:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('next_producer_id', ?)",
            (str(2**63 - 1 - BLOCK_SIZE // 2),),
        )

    site.store.write_now(near_the_end)
    with pytest.raises(Unavailable, match="have been given out"):
        site.run(site.producer_ids.next())
