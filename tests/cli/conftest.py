from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from mainstem.cli import _run
from mainstem.testing import RunningBroker

_numbers = itertools.count()


class Result(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def name() -> str:
    """A topic or group name nobody else uses."""
    return f"cli-{next(_numbers)}"


@pytest.fixture
def cli(
    mainstem_session_broker: RunningBroker,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Cli:
    """Run a command line in this process, against a real broker; ``stdin`` is its input."""
    monkeypatch.setenv("MAINSTEM_BROKERS", mainstem_session_broker.address)

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        path = tmp_path_factory.mktemp("stdin") / "stdin"
        path.write_bytes(stdin)
        with path.open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            code = _run(list(arguments))
        sys.stdout.flush()
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run
