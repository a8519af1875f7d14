"""A year of real departures through a real log."""

from __future__ import annotations


def run_demo(*, speed: str = "max", keep: bool = False, as_json: bool = False) -> int:
    """Runs the demo and returns its exit code; ``speed`` is ``"max"`` or a factor."""
    from mainstem.demo.run import run_demo as run

    return run(speed=speed, keep=keep, as_json=as_json)


__all__ = ["run_demo"]
