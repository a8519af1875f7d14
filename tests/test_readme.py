"""What the README shows is run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_of_the_first_screen_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "N24211" in done.stdout
    assert re.search(r"join at 127\.0\.0\.1:\d+", done.stdout)


def test_every_command_shown_exists():
    (block,) = re.findall(r"```sh\n(mainstem serve.*?)```", README, re.DOTALL)
    commands = [line.split() for line in block.splitlines() if line.startswith("mainstem")]
    assert len(commands) >= 6
    for words in commands:
        name = words[1:3] if words[1] in ("topic", "group") else words[1:2]
        done = subprocess.run(
            [sys.executable, "-m", "mainstem", *name, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for flag in (word for word in words if word.startswith("--")):
            assert flag in done.stdout, f"{' '.join(name)} has no {flag}"
