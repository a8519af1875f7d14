"""OffsetForLeaderEpoch after clean and unclean starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from admin_site import Site, versions

from mainstem.wire import Message


def ask(
    site: Site, epoch: int, *, current: int = -1, topic: str = "a", index: int = 0, version: int = 4
) -> tuple[int, int, int]:
    part = Message(partition=index, current_leader_epoch=current, leader_epoch=epoch)
    topics = [Message(topic=topic, partitions=[part])]
    (answer,) = site.call(23, version, replica_id=-1, topics=topics).topics
    (result,) = answer.partitions
    assert (answer.topic, result.partition) == (topic, index)
    return int(result.error_code), result.leader_epoch, result.end_offset


def after_a_crash(data: Path) -> Site:
    """Epoch 0 wrote three records, then the process was gone; the next epoch wrote two."""
    site = Site(data)
    site.create("a")
    site.append("a", count=3)
    site.partition("a").sync()
    site.store.close()
    site.runner.close()
    site.log.close(clean=False)
    site = Site(data)
    site.append("a", count=2)
    return site


@pytest.mark.parametrize("version", versions(23))
def test_the_current_epoch_ends_at_the_log_end(tmp_path: Path, version: int) -> None:
    with Site(tmp_path) as site:
        site.create("a")
        site.append("a", count=3)
        epoch = site.partition("a").leader_epoch
        assert ask(site, epoch, version=version) == (0, epoch, 3)


def test_an_epoch_before_an_unclean_start_ends_where_it_ended(tmp_path: Path) -> None:
    with after_a_crash(tmp_path) as site:
        now = site.partition("a").leader_epoch
        assert now > 0
        assert ask(site, 0) == (0, 0, 3)
        assert ask(site, now) == (0, now, 5)


def test_an_epoch_that_has_not_been_is_not_known(tmp_path: Path) -> None:
    with after_a_crash(tmp_path) as site:
        assert ask(site, 99) == (0, -1, -1)


def test_a_client_behind_or_ahead_is_told(tmp_path: Path) -> None:
    with after_a_crash(tmp_path) as site:
        now = site.partition("a").leader_epoch
        assert ask(site, 0, current=now)[0] == 0
        assert ask(site, 0, current=now - 1) == (74, -1, -1)
        assert ask(site, 0, current=now + 1) == (75, -1, -1)


@pytest.mark.parametrize(("topic", "index"), [("nowhere", 0), ("a", 1)])
def test_what_does_not_exist(tmp_path: Path, topic: str, index: int) -> None:
    with Site(tmp_path) as site:
        site.create("a")
        assert ask(site, 0, topic=topic, index=index) == (3, -1, -1)
