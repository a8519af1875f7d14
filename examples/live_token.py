"""A page's token: who it is, and which channels it may publish to. The rest is refused."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt

SETTINGS = """
[live.access.tokens]
secret = "replace me: thirty-two random bytes or more, from your vault"

[live.namespaces.rooms]
kind = "events"

[live.access.namespaces.rooms]
"""

token = jwt.encode(
    {"sub": "ann", "exp": time.time() + 900, "live": {"publish": ["rooms:42"]}},
    "replace me: thirty-two random bytes or more, from your vault",
)


def publish(address: str, channel: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(f"http://{address}/live/{channel}", b'"hello"', headers)) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


with tempfile.TemporaryDirectory() as directory:
    config = Path(directory, "node.toml")
    config.write_text(SETTINGS)
    command = [sys.executable, "-m", "mainstem", "serve", "--config", str(config)]
    command += ["--data", f"{directory}/data", "--kafka", "127.0.0.1:0", "--http", "none"]
    with subprocess.Popen(
        [*command, "--live", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().rsplit("live=", 1)[1].strip()
        print("rooms:42", publish(address, "rooms:42"), "rooms:43", publish(address, "rooms:43"))
        process.terminate()
