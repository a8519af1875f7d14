"""A missing compiled kernel is a loud error, never a slow path."""

from __future__ import annotations

import subprocess
import sys

HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "mainstem.kernels.batches":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
import mainstem.wire
"""


def test_a_missing_kernel_says_how_to_build_it():
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "compiled kernels are missing (mainstem.kernels.batches)" in done.stderr
    assert "pip install ." in done.stderr
