"""A counter that many press at once, and how many watch: absolute numbers, never wrong."""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen


def like(address: str, number: int) -> None:
    """With an idempotency key a repeated request, as after a lost answer, is counted once."""
    headers = {"Idempotency-Key": f"visitor-{number}"}
    urlopen(Request(f"http://{address}/live/likes:42", b"1", headers)).close()


with tempfile.TemporaryDirectory() as directory:
    command = [sys.executable, "-m", "mainstem", "serve", "--data", directory]
    addresses = ["--kafka", "127.0.0.1:0", "--http", "none", "--live", "127.0.0.1:0"]
    with subprocess.Popen([*command, *addresses], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().rsplit("live=", 1)[1].strip()
        with urlopen(f"http://{address}/live?channel=likes:42&channel=viewers:42") as stream:
            with ThreadPoolExecutor(4) as visitors:
                list(visitors.map(lambda n: like(address, n % 100), range(150)))
            total = connections = 0
            while total < 100 or connections < 1:
                line = stream.readline()
                if line.startswith(b'data: {"channel":'):
                    event = json.loads(line[5:])
                    total = event.get("total", total)
                    connections = event.get("connections", connections)
        print(f"{total} likes of 150 requests by 100 visitors, {connections} watching")
        process.terminate()
