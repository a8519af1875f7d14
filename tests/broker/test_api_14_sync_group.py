"""SyncGroup in every version."""

from __future__ import annotations

import pytest

from reference.group_site import Site


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("version", range(6))
def test_every_version(site, version):
    async def scenario():
        member, task = await site.enter()
        await task
        answer = await site.sync("g", member, 1, version=version, assignments={member: b"mine"})
        assert (answer.error_code, answer.assignment) == (0, b"mine")
        expected = ("consumer", "range") if version >= 5 else (None, None)
        assert (answer.protocol_type, answer.protocol_name) == expected

    site.run(scenario)


@pytest.mark.parametrize("version", range(6))
def test_errors_in_every_version(site, version):
    async def scenario():
        member = await site.lead()
        for group, who, generation, error in [
            ("g", "who", 1, 25),
            ("g", member, 9, 22),
            ("unknown", member, 1, 25),
            ("", member, 1, 24),
        ]:
            answer = await site.sync(group, who, generation, version=version)
            assert (answer.error_code, answer.assignment) == (error, b"")

    site.run(scenario)


@pytest.mark.parametrize("missing", ["protocol_type", "protocol_name"])
def test_protocol_must_be_named_from_version_5(site, missing):
    async def scenario():
        member = await site.lead()
        answer = await site.sync("g", member, 1, **{missing: None})
        assert answer.error_code == 23

    site.run(scenario)


def test_another_protocol_is_refused(site):
    async def scenario():
        member = await site.lead()
        assert (await site.sync("g", member, 1, protocol_name="sticky")).error_code == 23

    site.run(scenario)
