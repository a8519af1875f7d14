"""ListGroups in every version, with filters by state and type."""

from __future__ import annotations

import pytest

from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


async def listed(site, version=5, states=(), types=()):
    answer = await site.ask(16, version, states_filter=list(states), types_filter=list(types))
    assert answer.error_code == 0
    return {group.group_id: group for group in answer.groups}


async def two_groups(site):
    await site.topic("t")
    await site.commit({("t", 0): 1}, "simple")
    await site.lead("busy")


@pytest.mark.parametrize("version", range(6))
def test_every_version(site, version):
    async def scenario():
        await two_groups(site)
        groups = await listed(site, version)
        assert list(groups) == ["busy", "simple"]
        assert groups["busy"].protocol_type == "consumer"
        assert groups["simple"].protocol_type == ""
        if version >= 4:
            assert groups["busy"].group_state == "Stable"
        if version >= 5:
            assert groups["busy"].group_type == "classic"

    site.run(scenario)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        (["Stable"], ["busy"]),
        (["empty"], ["simple"]),
        (["Empty", "Stable"], ["busy", "simple"]),
        (["Dead"], []),
        (["nonsense"], []),
    ],
)
def test_filter_by_state(site, states, found):
    async def scenario():
        await two_groups(site)
        assert list(await listed(site, states=states)) == found

    site.run(scenario)


@pytest.mark.parametrize(
    ("types", "count"), [(["classic"], 2), (["Classic", "consumer"], 2), (["consumer"], 0)]
)
def test_filter_by_type(site, types, count):
    async def scenario():
        await two_groups(site)
        assert len(await listed(site, types=types)) == count

    site.run(scenario)
