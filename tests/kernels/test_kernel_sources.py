"""A source distribution holds what the kernels are built from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KERNELS = "src/mainstem/kernels"

# As `cythonize` leaves the extensions, without the minute it takes: made of C files.
LIST_SOURCES = """
import runpy, sys
import Cython.Build

def cythonize(extensions, **_options):
    for extension in extensions:
        extension.sources = [name.removesuffix(".pyx") + ".c" for name in extension.sources]
    return extensions

Cython.Build.cythonize = cythonize
sys.argv = ["setup.py", "--quiet", "egg_info", "--egg-base", sys.argv[1]]
runpy.run_path("setup.py")
"""


def test_a_source_distribution_holds_the_kernels_sources_and_no_c(tmp_path):
    subprocess.run([sys.executable, "-c", LIST_SOURCES, str(tmp_path)], cwd=ROOT, check=True)
    [manifest] = tmp_path.glob("*/SOURCES.txt")
    held = {name for name in manifest.read_text().splitlines() if name.startswith(KERNELS)}
    written = {f"{KERNELS}/{path.name}" for path in (ROOT / KERNELS).glob("*.p[yx]*")}
    assert {name for name in written if name.endswith((".pyx", ".pxd", ".pyi", ".py"))} <= held
    assert {name for name in held if name.endswith((".c", ".so"))} == set()
