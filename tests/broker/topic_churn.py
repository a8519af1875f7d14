"""Run as a process to be killed: makes, fills, grows and deletes topics, saying so as JSON lines.

Each change is announced before (``begins``) and acknowledged after (``done``, with the end
offset of each partition, or null for a deleted topic).
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from admin_site import Site


def say(what: str, site: Site, name: str) -> None:
    topic = site.topics.get(name)
    ends = None if topic is None else [part.high_watermark for part in topic.partitions()]
    sys.stdout.write(json.dumps({"what": what, "topic": name, "ends": ends}) + "\n")
    sys.stdout.flush()


def change(site: Site, rng: random.Random, name: str) -> None:
    topic = site.topics.get(name)
    if topic is None:
        site.create(name, rng.randint(1, 3))
    elif rng.random() < 0.4:
        site.run(site.topics.delete(topic))
    elif rng.random() < 0.4:
        site.run(site.topics.add_partitions(topic, topic.partition_count + 1))
    else:
        site.append(name, rng.randrange(topic.partition_count), rng.randint(1, 9))


def main() -> None:
    rng = random.Random(int(sys.argv[2]))
    site = Site(Path(sys.argv[1]))
    while True:
        name = f"topic-{rng.randrange(5)}"
        say("begins", site, name)
        change(site, rng, name)
        say("done", site, name)


if __name__ == "__main__":
    main()
