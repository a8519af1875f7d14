"""Apicurio Registry, from Maven Central: a real registry that speaks the Confluent REST API."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.kafka import CACHE, die_with_parent
from mainstem.testing.ports import lasting_port

VERSION = "3.0.9"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
START_SECONDS = 90.0


def registry_directory() -> Path:
    """The unpacked registry, fetched with Maven the first time (about 100 MB).

    Raises:
        RuntimeError: Maven is missing or could not fetch it; the message holds its output.
    """
    home = CACHE / f"apicurio-{VERSION}"
    marker = home / ".complete"
    if marker.exists():
        return home
    if shutil.which("mvn") is None:
        raise RuntimeError("Maven (mvn) is missing: run sh interop/install.sh")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    # Version 2 of the plugin takes the file as it is; version 3 wants its parent's description.
    goal = "org.apache.maven.plugins:maven-dependency-plugin:2.10:copy"
    command = ["mvn", "-q", "-B", goal, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={home}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"Maven could not fetch Apicurio Registry:\n{done.stdout}{done.stderr}")
    (archive,) = home.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(home, filter="data")
    archive.unlink()
    marker.touch()
    return home


@contextmanager
def running_apicurio(directory: Path) -> Iterator[str]:
    """A registry in memory until the block ends; the URL of its Confluent API.

    Raises:
        RuntimeError: it did not start; the message holds the end of its log.
    """
    home = registry_directory()
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "registry.log"
    flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]
    port = lasting_port()
    settings = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    (jar,) = home.glob("*-runner.jar")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["java", *flags, *settings, "-jar", str(jar)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one thread, at the start of a test
        )
    try:
        url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        _wait(process, url, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"Apicurio Registry did not start:\n{log.read_text()[-2000:]}")
