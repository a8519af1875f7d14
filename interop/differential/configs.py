"""Configs: describing and changing them."""

from __future__ import annotations

from typing import Any

from interop.differential.requests import create
from interop.differential.site import Site

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def describe(site: Site) -> None:
    create(site, "described-configs", retention_ms="1000", cleanup_policy="compact")
    for version in site.versions[32]:
        for keys in (["retention.ms", "cleanup.policy", "segment.bytes", "nonsense"], ["flush.ms"]):
            site.ask(
                f"{keys[0]} v{version}",
                32,
                version,
                include_synonyms=False,
                resources=[
                    {
                        "resource_type": TOPIC,
                        "resource_name": "described-configs",
                        "configuration_keys": keys,
                    }
                ],
            )
    for kind, name in (
        (TOPIC, "described-missing"),
        (TOPIC, ""),
        (TOPIC, "no such!"),
        (BROKER, "7"),
        (BROKER, "x"),
        (BROKER, "-1"),
        (0, "x"),
        (1, "x"),
        (3, "x"),
        (127, "x"),
        (-1, "x"),
        (GROUP, ""),
        (CLIENT_METRICS, ""),
    ):
        site.ask(
            f"type {kind} {name!r}",
            32,
            resources=[
                {
                    "resource_type": kind,
                    "resource_name": name,
                    "configuration_keys": ["retention.ms"],
                }
            ],
        )
    one = {
        "resource_type": TOPIC,
        "resource_name": "described-configs",
        "configuration_keys": ["retention.ms"],
    }
    site.ask("twice", 32, resources=[one, one])
    site.ask("none", 32, resources=[])
    answer = site.quietly(
        32,
        include_synonyms=True,
        resources=[
            {
                "resource_type": TOPIC,
                "resource_name": "described-configs",
                "configuration_keys": ["retention.ms", "cleanup.policy"],
            }
        ],
    )
    site.keep(
        "sources",
        [
            (c.name, c.value, c.config_source, c.config_type, c.read_only)
            for c in answer.results[0].configs
        ],
    )
    everything = site.quietly(
        32,
        resources=[
            {
                "resource_type": TOPIC,
                "resource_name": "described-configs",
                "configuration_keys": None,
            }
        ],
    )
    site.keep("names of all", sorted(c.name for c in everything.results[0].configs))
    site.keep(
        "types of all",
        sorted(
            (c.name, c.config_type, c.read_only, c.is_sensitive)
            for c in everything.results[0].configs
        ),
    )
    site.keep("defaults of all", sorted((c.name, c.value) for c in everything.results[0].configs))


def replace(site: Site) -> None:
    create(site, "replaced", retention_ms="1000")

    def ask(
        label: str,
        configs: list[tuple[str, str | None]],
        name: str = "replaced",
        kind: int = TOPIC,
        *,
        validate_only: bool = False,
    ) -> None:
        site.ask(
            label,
            33,
            validate_only=validate_only,
            resources=[
                {
                    "resource_type": kind,
                    "resource_name": name,
                    "configs": [{"name": n, "value": v} for n, v in configs],
                }
            ],
        )

    ask("one", [("segment.ms", "5000")])
    _show(site, "after one", "replaced")
    ask("validated", [("segment.ms", "7000")], validate_only=True)
    ask("bad", [("segment.ms", "x"), ("retention.ms", "7")])
    ask("unknown", [("nonsense", "7")])
    ask("null", [("segment.ms", None)])
    ask("twice", [("segment.ms", "1"), ("segment.ms", "2")])
    ask("nothing", [])
    _show(site, "after nothing", "replaced")
    ask("missing", [("segment.ms", "5000")], "replaced-missing")
    ask("no name", [("segment.ms", "5000")], "")
    for kind in (0, 3, LOGGER, 127):
        ask(f"type {kind}", [("segment.ms", "5000")], "x", kind)


def change(site: Site) -> None:
    create(site, "changed", retention_ms="1000", cleanup_policy="compact")

    def ask(
        label: str,
        *operations: tuple[str, int, str | None],
        name: str = "changed",
        kind: int = TOPIC,
        validate_only: bool = False,
    ) -> None:
        site.ask(
            label,
            44,
            validate_only=validate_only,
            resources=[
                {
                    "resource_type": kind,
                    "resource_name": name,
                    "configs": [
                        {"name": n, "config_operation": o, "value": v} for n, o, v in operations
                    ],
                }
            ],
        )
        _show(site, f"after {label}", "changed")

    ask("set", ("segment.ms", SET, "5000"))
    ask("delete", ("retention.ms", DELETE, None))
    ask("delete what is not set", ("flush.ms", DELETE, None))
    ask("delete with a value", ("segment.ms", DELETE, "9"))
    ask("append", ("cleanup.policy", APPEND, "delete"))
    ask("append again", ("cleanup.policy", APPEND, "delete"))
    ask("subtract", ("cleanup.policy", SUBTRACT, "compact"))
    ask("subtract what is not there", ("cleanup.policy", SUBTRACT, "compact"))
    ask("append nonsense", ("cleanup.policy", APPEND, "nonsense"))
    ask("append to a number", ("segment.ms", APPEND, "1"))
    ask("unknown", ("nonsense", SET, "1"))
    ask("delete unknown", ("nonsense", DELETE, None))
    ask("unknown operation", ("segment.ms", 9, "1"))
    ask("set null", ("segment.ms", SET, None))
    ask("append null", ("cleanup.policy", APPEND, None))
    ask("set empty", ("segment.ms", SET, ""))
    ask("twice", ("segment.ms", SET, "1"), ("segment.ms", DELETE, None))
    ask("one good, one bad", ("segment.ms", SET, "77"), ("retention.ms", SET, "x"))
    ask("validated", ("segment.ms", SET, "88"), validate_only=True)
    ask("validated bad", ("segment.ms", SET, "x"), validate_only=True)
    ask("nothing")
    ask("missing", ("segment.ms", SET, "1"), name="changed-missing")
    ask("no name", ("segment.ms", SET, "1"), name="")
    for kind in (0, 3, 127):
        ask(f"type {kind}", ("segment.ms", SET, "1"), kind=kind)
    ask("another broker", ("log.retention.ms", SET, "1"), name="7", kind=BROKER)
    ask("not a broker", ("log.retention.ms", SET, "1"), name="x", kind=BROKER)
    ask("read-only", ("broker.id", SET, "1"), name="1", kind=BROKER)
    ask("read-only 2", ("num.network.threads.nonsense", SET, "1"), name="1", kind=BROKER)
    site.ask(
        "one resource twice",
        44,
        resources=[
            {
                "resource_type": TOPIC,
                "resource_name": "changed",
                "configs": [{"name": "segment.ms", "config_operation": SET, "value": v}],
            }
            for v in ("1", "2")
        ],
    )
    site.ask(
        "one good resource, one bad",
        44,
        resources=[
            {
                "resource_type": TOPIC,
                "resource_name": name,
                "configs": [{"name": "segment.ms", "config_operation": SET, "value": "999"}],
            }
            for name in ("changed", "changed-missing")
        ],
    )
    _show(site, "at last", "changed")


def _show(site: Site, label: str, topic: str) -> None:
    """What is set on the topic; given time, as Kafka's broker hears of changes a bit later."""
    asked: dict[str, Any] = {"resource_type": TOPIC, "resource_name": topic}
    site.later(
        label,
        lambda: [
            (c.name, c.value)
            for c in site.quietly(32, resources=[{**asked, "configuration_keys": None}])
            .results[0]
            .configs
            if c.config_source == 1
        ],
    )


def names(site: Site) -> None:
    create(site, "resource-names")
    for version in site.versions[74]:
        for kinds in (
            [],
            [TOPIC],
            [BROKER],
            [CLIENT_METRICS],
            [GROUP],
            [99],
            [TOPIC, 99],
            [LOGGER],
        ):
            if version == 0 and kinds:
                continue
            answer = site.quietly(74, version, resource_types=kinds)
            answer.config_resources = [
                r
                for r in answer.config_resources
                if r.resource_type != TOPIC or r.resource_name == "resource-names"
            ]
            site.keep(f"{kinds} v{version}", answer)
