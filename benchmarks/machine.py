"""Names the machine: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe(directory: Path) -> dict[str, str]:
    """Return CPU, cores, memory, kernel, Python, Java and the file system of ``directory``."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return {
        "cpu": cpu[1] if cpu else platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 1e6:.0f} GB" if memory else "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "java": ([*java.split('"'), "", ""])[1] or "none",
        "disk": _file_system(directory),
    }


def _file_system(directory: Path) -> str:
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, this, *_ = line.split()
        if str(directory.resolve()).startswith(mount) and len(mount) > len(best):
            best, kind = mount, this
    return kind
