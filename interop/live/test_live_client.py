"""The JavaScript client's own tests, its types, and whether what is shipped is what is written."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from interop.live.gateways import HERE

CLIENT = Path(__file__).parents[2] / "clients" / "javascript"
TOOLS = HERE / "node_modules" / ".bin"


def run(*command: str | Path, directory: Path = CLIENT) -> str:
    """Its output; an AssertionError with all of it where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests_pass() -> None:
    files = sorted(str(each) for each in CLIENT.glob("test/*.test.js"))
    said = run("node", "--test", "--test-reporter=spec", *files)
    assert re.search(r"^\S fail 0$", said, re.MULTILINE), said


def test_what_is_shipped_is_built_from_what_is_written(tmp_path: Path) -> None:
    copy = tmp_path / "client"
    shutil.copytree(CLIENT, copy)
    shutil.rmtree(copy / "dist")
    manifest = (copy / "package.json").read_text()
    (copy / "package.json").write_text(manifest.replace("esbuild ", f"{TOOLS / 'esbuild'} "))
    run("npm", "run", "--silent", "build", directory=copy)
    for shipped in sorted(CLIENT.joinpath("dist").iterdir()):
        assert (copy / "dist" / shipped.name).read_bytes() == shipped.read_bytes(), shipped.name


def test_a_program_in_typescript_is_checked_by_its_types(tmp_path: Path) -> None:
    shutil.copy(HERE / "typed.mts", tmp_path)
    shutil.copytree(CLIENT, tmp_path / "node_modules" / "mainstem-live")
    strict = ["--noEmit", "--strict", "--module", "nodenext", "--lib", "es2022,dom"]
    run(TOOLS / "tsc", *strict, "--exactOptionalPropertyTypes", "typed.mts", directory=tmp_path)


def test_the_package_holds_what_it_promises() -> None:
    said = run("npm", "pack", "--dry-run", "--json", "--ignore-scripts")
    for name in ("dist/mainstem-live.js", "dist/mainstem-live.d.ts", "README.md", "src/live.js"):
        assert f'"{name}"' in said
    assert '"test/' not in said
