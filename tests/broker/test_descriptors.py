"""The limit of open files: the log gets its part, connections only the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mainstem.broker.descriptors import share

CROWDED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message
from reference.produce import batch, create, produce

with running_broker(Path(sys.argv[1])) as broker, RawConnection(broker.address) as raw:
    create(raw, "t", partitions=600)
    for index in range(600):
        assert produce(raw, "t", batch(b"a"), partition=index).error_code == 0, index
    print(broker.broker._server._most_connections)
"""


@pytest.mark.parametrize("limit", [256, 1_024, 20_000, 1 << 20, -1])
def test_the_shares_leave_something_for_everybody_else(limit):
    files, connections = share(limit)
    assert 16 <= files <= 4_096
    assert connections >= 16
    assert limit < 0 or files + connections <= limit - 100


def test_more_partitions_than_descriptors_are_served(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CROWDED, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 512 - 128 - 192
