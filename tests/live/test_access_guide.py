"""What docs/guides/live-access.md and live.md show is read as it stands."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import jwt
import pytest
from access_kit import bearer, sign_in

from mainstem.clock import SystemClock
from mainstem.live.access import Access, LimitSettings, Right, read_settings
from mainstem.live.settings import gather
from mainstem.live.viewers import ViewerSettings

GUIDE = (Path(__file__).parents[2] / "docs/guides/live-access.md").read_text("utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
LIVE = (Path(__file__).parents[2] / "docs/guides/live.md").read_text("utf-8")
ALL = [*BLOCKS, *re.findall(r"```toml\n(.*?)```", LIVE, re.DOTALL)]


@pytest.mark.parametrize("block", ALL, ids=range(len(ALL)))
def test_every_configuration_is_accepted(block: str, tmp_path: Path) -> None:
    (tmp_path / "live.toml").write_text(block)
    gather(tmp_path / "live.toml", {}, {})
    table = tomllib.loads(block)
    read_settings(table.get("access", {}), loopback=False)


def test_the_defaults_shown_are_the_defaults() -> None:
    tables: dict[str, Any] = {}
    for block in BLOCKS:
        tables |= tomllib.loads(block)
    limits = next(
        t["access"]["limits"] for t in map(tomllib.loads, BLOCKS) if "limits" in t.get("access", {})
    )
    assert LimitSettings(**limits) == LimitSettings()
    assert ViewerSettings(**tables["viewers"]) == ViewerSettings()


def test_the_token_of_the_guide_is_believed() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    names: dict[str, Any] = {"jwt": jwt, "time": time}
    exec(code, names)
    table = next(t["access"] for t in map(tomllib.loads, BLOCKS) if "secret" in str(t))
    settings = read_settings({**table, "namespaces": {"rooms": {}}}, loopback=False)
    access = Access(settings, SystemClock())
    access.may(sign_in(access, bearer(names["token"])), Right.PUBLISH, "rooms:42")
