"""Heartbeat in every version."""

from __future__ import annotations

import pytest

from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", range(5))
def test_every_version(site, version):
    async def scenario():
        member = await site.lead()

        async def beat(group, who, generation):
            answer = await site.ask(
                12, version, group_id=group, generation_id=generation, member_id=who,
                group_instance_id=None,
            )  # fmt: skip
            return answer.error_code

        assert await beat("g", member, 1) == 0
        assert await beat("g", member, 2) == 22
        assert await beat("g", "who", 1) == 25
        assert await beat("unknown", member, 1) == 25
        assert await beat("", member, 1) == 24
        await site.enter()
        assert await beat("g", member, 1) == 27

    site.run(scenario)
