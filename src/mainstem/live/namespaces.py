"""The namespaces a gateway serves, and the topics they need."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.errors import Invalid
from mainstem.live import audience, control, counters
from mainstem.live.channels import BUILT_IN, Channel, parse_channel
from mainstem.live.settings import Namespace, topic_of
from mainstem.live.topics import Wanted


def find_channel(namespaces: Mapping[str, Namespace], name: str) -> tuple[Channel, Namespace]:
    """The channel and its namespace. Raises ``Invalid`` where there is none."""
    channel = parse_channel(name)
    namespace = namespaces.get(channel.namespace)
    if namespace is None:
        there = ", ".join(sorted([*namespaces, *BUILT_IN]))
        raise Invalid(f"there is no namespace {channel.namespace!r}: there are {there}")
    return channel, namespace


def wanted_topics(namespaces: Mapping[str, Namespace]) -> dict[str, Wanted]:
    """How the topics of these namespaces, and live's own, are created."""
    own = (audience, control, counters)
    wanted = {module.TOPIC: Wanted(module.PARTITIONS, module.CONFIG) for module in own}
    for name, namespace in namespaces.items():
        partitions = namespace.partitions if namespace.create else None
        config = {"cleanup.policy": "compact"} if namespace.kind == "latest" else {}
        if namespace.kind == "counter":  # a like that was deleted cannot be counted again
            config = {"retention.ms": "-1", "retention.bytes": "-1"}
        config |= namespace.config
        wanted[topic_of(name, namespace)] = Wanted(partitions, config, namespace.partitioner)
    return wanted
