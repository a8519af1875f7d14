"""Builds the Cython kernels; everything else is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = Path("src/mainstem/kernels")
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,  # each kernel checks its own bounds, once, before the loop
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "freethreading_compatible": False,
}

extensions = [
    Extension(
        f"mainstem.kernels.{source.stem}",
        [str(source)],
        extra_compile_args=["-O3", "-g0", "-Wno-unreachable-code", "-Wno-unused-function"],
    )
    for source in sorted(KERNELS.glob("*.pyx"))
]

CORES = len(os.sched_getaffinity(0))

setup(
    options={"build_ext": {"parallel": CORES}},
    ext_modules=cythonize(
        extensions,
        nthreads=CORES,
        compiler_directives=DIRECTIVES,
        annotate=bool(os.environ.get("MAINSTEM_ANNOTATE")),
    ),
)
