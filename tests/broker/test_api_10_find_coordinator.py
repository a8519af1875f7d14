"""FindCoordinator in every version: this node, for groups and transactions."""

from __future__ import annotations

import pytest

from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", range(7))
def test_every_version_answers_this_node(site, version):
    async def scenario():
        answer = await site.ask(10, version, key_type=0, coordinator_keys=["g"])
        (found,) = answer.coordinators
        assert (found.node_id, found.error_code) == (site.broker.node_id, 0)
        assert (found.host, found.port) == site.broker.advertised
        assert found.key == ("g" if version >= 4 else None)

    site.run(scenario)


def test_several_keys_at_once(site):
    async def scenario():
        answer = await site.ask(10, 4, key_type=0, coordinator_keys=["a", "b", "a"])
        assert [found.key for found in answer.coordinators] == ["a", "b", "a"]

    site.run(scenario)


@pytest.mark.parametrize(("kind", "error"), [(0, 0), (1, 0), (2, 42), (-1, 42), (100, 42)])
def test_kinds_of_coordinator(site, kind, error):
    async def scenario():
        answer = await site.ask(10, 6, key_type=kind, coordinator_keys=["k"])
        (found,) = answer.coordinators
        assert found.error_code == error
        assert (found.node_id == -1) == bool(error)

    site.run(scenario)
