"""Topics: created, changed, deleted, loaded again; and what keeps their files safe."""

from __future__ import annotations

import asyncio
import gc
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_site import Site

from mainstem.broker.topic import MAX_PARTITIONS
from mainstem.broker.topics import Topic
from mainstem.errors import Conflict, Invalid, Unavailable
from mainstem.log import LogConfig, RealFileSystem


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def directories(data: Path) -> set[str]:
    return {entry.name for entry in (data / "topics").iterdir()}


class FussyFileSystem(RealFileSystem):
    """Refuses what ``refused`` names: ``(operation, part of the path)``."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[tuple[str, str]] = set()

    def _check(self, operation: str, path: str) -> None:
        for name, part in self.refused:
            if name == operation and part in path:
                raise OSError(28, "No space left on device", path)

    def mkdir(self, path: str) -> None:
        self._check("mkdir", path)
        super().mkdir(path)

    def rename(self, source: str, target: str) -> None:
        self._check("rename", source)
        super().rename(source, target)


# --- creating ----------------------------------------------------------------------------------


def test_a_created_topic_is_found_by_name_and_id_and_has_directories(site: Site) -> None:
    site.create("flights", 3)
    topic = site.topics.get("flights")
    assert topic is not None
    assert site.topics.by_id(topic.id) is topic
    assert topic.partition_count == 3
    assert directories(site.data) == {"flights-0", "flights-1", "flights-2"}


def test_topics_come_back_after_a_restart_with_id_configs_and_records(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("flights", 2, retention_ms="1000")
        site.append("flights", 1, count=5)
        before = site.topics.require("flights")
    with Site(tmp_path) as site:
        after = site.topics.require("flights")
        assert (after.id, after.partition_count) == (before.id, 2)
        assert after.overrides == {"retention.ms": "1000"}
        assert after.config.retention_ms == 1000
        assert after.partition(1).high_watermark == 5


def test_topics_are_listed_by_name(site: Site) -> None:
    for name in ("b", "a", "c"):
        site.create(name)
    assert [topic.name for topic in site.topics.all()] == ["a", "b", "c"]


def test_validate_only_creates_nothing(site: Site) -> None:
    described = site.run(site.topics.create("a", 4, {"segment.bytes": "5000"}, validate_only=True))
    assert described.partition_count == 4
    assert described.config.segment_bytes == 5000
    assert site.topics.all() == []
    assert directories(site.data) == set()


def test_minus_one_partitions_means_the_default(tmp_path: Path) -> None:
    with Site(tmp_path, num_partitions=4) as site:
        site.create("a", -1)
        assert site.topics.require("a").partition_count == 4


def test_an_existing_name_is_a_conflict(site: Site) -> None:
    site.create("a")
    with pytest.raises(Conflict) as caught:
        site.create("a")
    assert caught.value.code == 36


def test_of_two_creations_at_once_one_wins(site: Site) -> None:
    async def both() -> list[Topic | BaseException]:
        creations = (site.topics.create("a", 1), site.topics.create("a", 2))
        return await asyncio.gather(*creations, return_exceptions=True)

    first, second = site.run(both())
    assert site.topics.all() == [first]
    assert isinstance(second, Conflict)
    assert directories(site.data) == {"a-0"}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "../up", "ä", "a" * 250, "a\n", "a\x00", "tab\t"]
)
def test_illegal_names_are_refused(site: Site, name: str) -> None:
    for validate_only in (True, False):
        with pytest.raises(Invalid) as caught:
            site.run(site.topics.create(name, validate_only=validate_only))
        assert caught.value.code == 17
    assert directories(site.data) == set()


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "a" * 249, "-", "a-0"])
def test_legal_names_are_accepted(site: Site, name: str) -> None:
    site.create(name)
    assert site.topics.get(name) is not None


def test_names_that_differ_in_dot_and_underscore_collide(site: Site) -> None:
    site.create("a.b_c")
    with pytest.raises(Invalid, match=r"collides with existing topic 'a\.b_c'") as caught:
        site.create("a_b.c")
    assert caught.value.code == 17


def test_a_collision_ends_with_the_topic(site: Site) -> None:
    site.create("a.b")
    site.run(site.topics.delete(site.topics.require("a.b")))
    site.create("a_b")
    assert site.topics.get("a_b") is not None


@pytest.mark.parametrize("count", [0, -2, MAX_PARTITIONS + 1, 2**31 - 1])
def test_impossible_partition_counts_are_refused(site: Site, count: int) -> None:
    with pytest.raises(Invalid) as caught:
        site.create("a", count)
    assert caught.value.code == 37


def test_a_dropped_request_still_finishes_its_topic(site: Site) -> None:
    async def drop() -> None:
        request = asyncio.ensure_future(site.topics.create("a", 3))
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await site.topics.close()

    site.run(drop())
    assert site.topics.require("a").partition(2).high_watermark == 0


def test_a_dropped_request_that_is_refused_in_the_end_leaves_no_unseen_failure(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.create("a")
    topic = site.topics.require("a")

    async def drop() -> None:
        first = asyncio.ensure_future(site.topics.delete(topic))
        second = asyncio.ensure_future(site.topics.delete(topic))
        await asyncio.sleep(0)
        second.cancel()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await site.topics.close()

    site.run(drop())
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == [
        "work that nobody waited for failed: topic 'a' has been deleted meanwhile"
    ]


# --- partitions that cannot be had -------------------------------------------------------------


def test_a_partition_index_beyond_the_last_is_unknown(site: Site) -> None:
    site.create("a", 2)
    for index in (2, -1, 2**31 - 1):
        with pytest.raises(Invalid) as caught:
            site.topics.require("a").partition(index)
        assert caught.value.code == 3


def test_a_corrupt_partition_is_refused_and_the_others_serve(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("a", 3)
        for index in range(3):
            site.append("a", index)
        site.log.checkpoint()
    (tmp_path / "topics" / "a-1" / "clean-shutdown").unlink(missing_ok=True)
    segment = tmp_path / "topics" / "a-1" / f"{0:020d}.log"
    content = bytearray(segment.read_bytes())
    content[-1] ^= 0xFF
    segment.write_bytes(content)
    with Site(tmp_path) as site:
        topic = site.topics.require("a")
        assert topic.partition(0).high_watermark == 1
        assert topic.partition(2).high_watermark == 1
        assert [partition.index for partition in topic.partitions()] == [0, 2]
        with pytest.raises(Unavailable, match="a-1") as caught:
            topic.partition(1)
        assert caught.value.code == 56
        assert topic.partition_count == 3


def test_a_missing_directory_is_made_at_start(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("a", 2)
    shutil.rmtree(tmp_path / "topics" / "a-1")
    with Site(tmp_path) as site:
        assert site.topics.require("a").partition(1).high_watermark == 0


# --- growing and configuring -------------------------------------------------------------------


def test_added_partitions_serve_and_stay(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("a", 1)
        site.append("a", 0, count=3)
        site.run(site.topics.add_partitions(site.topics.require("a"), 4))
        assert site.partition("a", 3).high_watermark == 0
    with Site(tmp_path) as site:
        assert site.topics.require("a").partition_count == 4
        assert site.partition("a", 0).high_watermark == 3


@pytest.mark.parametrize("total", [1, 2, 0, -1, MAX_PARTITIONS + 1])
def test_partitions_are_only_added(site: Site, total: int) -> None:
    site.create("a", 2)
    with pytest.raises(Invalid) as caught:
        site.run(site.topics.add_partitions(site.topics.require("a"), total))
    assert caught.value.code == 37
    assert site.topics.require("a").partition_count == 2


def test_altered_configs_reach_open_partitions_and_stay(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("a", 2, retention_ms="1000", segment_bytes="5000")
        topic = site.topics.require("a")
        site.run(site.topics.alter_configs(topic, {"mainstem.flush": "os"}))
        assert topic.overrides == {"mainstem.flush": "os"}
        for partition in topic.partitions():
            assert partition.config == LogConfig(flush="os")
    with Site(tmp_path) as site:
        assert site.topics.require("a").config == LogConfig(flush="os")


def test_broker_defaults_reach_topics_without_their_own(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("own", 1, retention_ms="1000")
        site.create("default", 1)
        site.run(site.topics.alter_broker_configs("", {"log.retention.ms": "77"}))
        assert site.partition("own").config.retention_ms == 1000
        assert site.partition("default").config.retention_ms == 77
    with Site(tmp_path) as site:
        assert site.partition("default").config.retention_ms == 77


def test_a_nodes_own_dynamic_config_rules_over_every_brokers(site: Site) -> None:
    site.create("a")
    site.run(site.topics.alter_broker_configs("1", {"log.retention.ms": "5"}))
    site.run(site.topics.alter_broker_configs("", {"log.retention.ms": "77"}))
    assert site.partition("a").config.retention_ms == 5


# --- deleting ----------------------------------------------------------------------------------


def test_a_deleted_topic_is_gone_with_its_files(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("a", 2)
        topic = site.topics.require("a")
        site.run(site.topics.delete(topic))
        assert site.topics.get("a") is None
        assert site.topics.by_id(topic.id) is None
        assert directories(tmp_path) == set()
    with Site(tmp_path) as site:
        assert site.topics.all() == []


def test_a_topic_is_deleted_once(site: Site) -> None:
    site.create("a")
    topic = site.topics.require("a")
    site.run(site.topics.delete(topic))
    with pytest.raises(Invalid) as caught:
        site.run(site.topics.delete(topic))
    assert caught.value.code == 3


def test_a_topic_created_again_is_another_and_empty(site: Site) -> None:
    site.create("a")
    site.append("a", count=5)
    old = site.topics.require("a")
    site.run(site.topics.delete(old))
    site.create("a")
    new = site.topics.require("a")
    assert new.id != old.id
    assert new.partition(0).high_watermark == 0
    for change in (site.topics.alter_configs(old, {}), site.topics.add_partitions(old, 9)):
        with pytest.raises(Invalid, match="deleted meanwhile"):
            site.run(change)


def test_listeners_hear_of_a_deletion_after_the_topic_is_gone(site: Site) -> None:
    site.create("a")
    heard: list[tuple[str, Topic | None]] = []
    site.topics.on_deleted.append(lambda topic: heard.append((topic.name, site.topics.get("a"))))
    site.run(site.topics.delete(site.topics.require("a")))
    assert heard == [("a", None)]


def test_an_unexplained_directory_is_never_touched(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("precious", 2)
        site.append("precious", 1, count=9)
    for name in ("metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with Site(tmp_path) as site:
        assert site.topics.strays == {("precious", 0), ("precious", 1)}
        with pytest.raises(Unavailable, match="move it out") as caught:
            site.create("precious")
        assert caught.value.code == 56
        assert site.topics.get("precious") is None
        assert directories(tmp_path) == {"precious-0", "precious-1"}
    assert (tmp_path / "topics" / "precious-1" / f"{0:020d}.log").stat().st_size > 0


def test_a_directory_beyond_the_last_partition_stops_growth(site: Site) -> None:
    site.create("a")
    (site.data / "topics" / "a-2").mkdir()
    with pytest.raises(Unavailable, match="a-2"):
        site.run(site.topics.add_partitions(site.topics.require("a"), 3))
    assert site.topics.require("a").partition_count == 1
    (site.data / "topics" / "a-2").rmdir()
    site.run(site.topics.add_partitions(site.topics.require("a"), 3))
    assert site.topics.require("a").partition_count == 3


# --- a disk that refuses -----------------------------------------------------------------------


def test_a_creation_the_disk_refuses_leaves_nothing(tmp_path: Path) -> None:
    disk = FussyFileSystem()
    with Site(tmp_path, filesystem=disk) as site:
        disk.refused.add(("mkdir", "a-2"))
        with pytest.raises(Unavailable, match="No space left") as caught:
            site.create("a", 4)
        assert caught.value.code == 56
        assert site.topics.get("a") is None
        assert directories(tmp_path) == set()
        disk.refused.clear()
        site.create("a", 4)
        assert site.partition("a", 3).high_watermark == 0
    with Site(tmp_path) as site:
        assert site.topics.require("a").partition_count == 4


def test_files_that_resist_deletion_go_at_the_next_start(tmp_path: Path) -> None:
    disk = FussyFileSystem()
    with Site(tmp_path, filesystem=disk) as site:
        site.create("a", 2)
        site.append("a", 1, count=3)
        disk.refused.add(("rename", "a-1"))
        site.run(site.topics.delete(site.topics.require("a")))
        assert site.topics.get("a") is None
        with pytest.raises(Unavailable):  # its old records must not appear in a new topic
            site.create("a", 2)
    with Site(tmp_path) as site:
        assert directories(tmp_path) == set()
        site.create("a", 2)
        assert site.partition("a", 1).high_watermark == 0


def test_a_finished_deletion_does_not_take_a_later_topics_records(tmp_path: Path) -> None:
    disk = FussyFileSystem()
    with Site(tmp_path, filesystem=disk) as site:
        site.create("a")
        disk.refused.add(("rename", "a-0"))
        site.run(site.topics.delete(site.topics.require("a")))
        shutil.rmtree(tmp_path / "topics" / "a-0")  # the user made room by hand
        disk.refused.clear()
        site.create("a")
        site.append("a", count=4)
        assert deletions(site) == []
    with Site(tmp_path) as site:
        assert site.partition("a").high_watermark == 4


def deletions(site: Site) -> list[str]:
    """Topics whose files are still to be removed."""
    rows = site.store.read(lambda c: c.execute("SELECT name FROM topic_deletions").fetchall())
    return [name for (name,) in rows]


def pend_deletion(site: Site, name: str) -> None:
    """As a kill between the end of a topic and the end of its files leaves it."""
    site.store.write_now(lambda c: c.execute("INSERT INTO topic_deletions VALUES (?)", (name,)))


def test_finishing_a_deletion_touches_nothing_else(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        for name in ("kept", "also"):
            site.create(name)
            site.append(name, count=4)
        pend_deletion(site, "gone")
        pend_deletion(site, "also")  # cannot be, but a topic's row must win
    shutil.copytree(tmp_path / "topics" / "kept-0", tmp_path / "topics" / "gone-0")
    shutil.copytree(tmp_path / "topics" / "kept-0", tmp_path / "topics" / "gone-1-0")
    with Site(tmp_path) as site:
        assert directories(tmp_path) == {"kept-0", "also-0", "gone-1-0"}
        assert site.partition("kept").high_watermark == 4
        assert site.partition("also").high_watermark == 4
        assert site.topics.strays == {("gone-1", 0)}


def test_a_start_goes_on_when_old_files_still_resist(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.create("kept")
        pend_deletion(site, "gone")
    shutil.copytree(tmp_path / "topics" / "kept-0", tmp_path / "topics" / "gone-0")
    disk = FussyFileSystem()
    disk.refused.add(("rename", "gone-0"))
    with Site(tmp_path, filesystem=disk) as site:
        assert [topic.name for topic in site.topics.all()] == ["kept"]
        assert deletions(site) == ["gone"]
        with pytest.raises(Unavailable):
            site.create("gone")
    with Site(tmp_path) as site:
        assert directories(tmp_path) == {"kept-0"}
        assert deletions(site) == []


def test_new_partitions_the_disk_refuses_are_refused_not_lost(tmp_path: Path) -> None:
    disk = FussyFileSystem()
    with Site(tmp_path, filesystem=disk) as site:
        site.create("a")
        disk.refused.add(("mkdir", "a-1"))
        site.run(site.topics.add_partitions(site.topics.require("a"), 2))
        assert site.partition("a", 0).high_watermark == 0
        with pytest.raises(Unavailable, match="No space left"):
            site.partition("a", 1)
    with Site(tmp_path) as site:
        assert site.partition("a", 1).high_watermark == 0


def test_ids_of_topics_are_random(site: Site) -> None:
    site.create("a")
    site.create("b")
    first, second = (topic.id for topic in site.topics.all())
    assert first != second
    assert {first.version, second.version} == {4}
    assert first != uuid.UUID(int=0)
