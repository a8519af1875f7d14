"""Consumer groups: joining, syncing, leaving, listing."""

from __future__ import annotations

from typing import Any

from interop.differential.site import CLOSED, Site

RANGE = [{"name": "range", "metadata": b"\0\0\0\0\0\0\0\0\0\0"}]
TIMES = {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 10_000}


def join(site: Site, label: str, group: str, version: int = 9, **fields: Any) -> Any:
    given = {"protocol_type": "consumer", "protocols": RANGE, "member_id": "", **TIMES, **fields}
    return site.ask(label, 11, version, group_id=group, **given)


def joined(site: Site, label: str, group: str, **fields: Any) -> str:
    """A group of one stable member; its id."""
    answer = join(site, f"{label}: first", group, **fields)
    member = str(answer.member_id)
    if answer.error_code == 79:
        join(site, f"{label}: second", group, **{**fields, "member_id": member})
    site.ask(
        f"{label}: sync",
        14,
        group_id=group,
        generation_id=1,
        member_id=member,
        group_instance_id=fields.get("group_instance_id"),
        protocol_type="consumer",
        protocol_name="range",
        assignments=[{"member_id": member, "assignment": b"mine"}],
    )
    return member


def joining_in_every_version(site: Site) -> None:
    for version in site.versions[11]:
        group = f"join-v{version}"
        answer = join(site, f"v{version}", group, version)
        if answer.error_code == 79:
            join(site, f"v{version} again", group, version, member_id=answer.member_id)
    for version in (0, 4, 9):
        for label, fields in _odd_joins().items():
            join(site, f"{label} v{version}", f"odd-{version}-{label}", version, **fields)
        join(site, f"empty group v{version}", "", version)


def _odd_joins() -> dict[str, dict[str, Any]]:
    return {
        "unknown member": {"member_id": "nobody"},
        "session too short": {"session_timeout_ms": 5_999},
        "session too long": {"session_timeout_ms": 1_800_001},
        "session zero": {"session_timeout_ms": 0},
        "session negative": {"session_timeout_ms": -1},
        "no protocols": {"protocols": []},
        "no protocol type": {"protocol_type": ""},
        "neither": {"protocol_type": "", "protocols": []},
        "another type": {"protocol_type": "connect"},
        "empty protocol name": {"protocols": [{"name": "", "metadata": b""}]},
        "rebalance negative": {"rebalance_timeout_ms": -5},
    }


def joining_what_does_not_fit(site: Site) -> None:
    first = joined(site, "stable", "fit")
    other = [{"name": "other", "metadata": b""}]
    join(site, "no protocol in common", "fit", protocols=other)
    join(site, "another type", "fit", protocol_type="connect")
    join(site, "unknown member", "fit", member_id="nobody")
    join(site, "the leader again, the same", "fit", member_id=first)
    for label, protocol_type, name in (
        ("null type", None, "range"),
        ("null name", "consumer", None),
        ("other type", "connect", "range"),
        ("other name", "consumer", "other"),
        ("empty", "", ""),
    ):
        site.ask(
            f"sync, {label}",
            14,
            group_id="fit",
            generation_id=2,
            member_id=first,
            protocol_type=protocol_type,
            protocol_name=name,
            assignments=[],
        )


def members_and_generations(site: Site) -> None:
    member = joined(site, "stable", "members")
    for generation in (0, 1, 2, -1, 2**31 - 1):
        for who in (member, "nobody", ""):
            label = f"{'member' if who == member else repr(who)} generation {generation}"
            site.ask(
                f"heartbeat {label}",
                12,
                group_id="members",
                generation_id=generation,
                member_id=who,
            )
            site.ask(
                f"sync {label}",
                14,
                group_id="members",
                generation_id=generation,
                member_id=who,
                protocol_type="consumer",
                protocol_name="range",
            )
    for group in ("members-missing", ""):
        site.each_version(
            f"heartbeat {group!r}", 12, group_id=group, generation_id=1, member_id="x"
        )
        site.each_version(
            f"sync {group!r}",
            14,
            group_id=group,
            generation_id=1,
            member_id="x",
            protocol_type="consumer",
            protocol_name="range",
        )
    site.each_version("heartbeat", 12, group_id="members", generation_id=1, member_id=member)
    site.each_version(
        "sync",
        14,
        group_id="members",
        generation_id=1,
        member_id=member,
        protocol_type="consumer",
        protocol_name="range",
    )
    site.each_version(
        "describe",
        15,
        groups=["members", "members-missing", ""],
        include_authorized_operations=True,
    )
    site.ask("describe twice", 15, groups=["members", "members"])
    site.ask("leave", 13, group_id="members", members=[{"member_id": member}])
    site.ask("heartbeat after", 12, group_id="members", generation_id=1, member_id=member)
    site.ask("describe after", 15, groups=["members"])


def leaving(site: Site) -> None:
    for version in site.versions[13]:
        group = f"leave-v{version}"
        member = joined(site, f"v{version}", group)
        for who in ("nobody", "", member, member):
            label = f"{'member' if who == member else repr(who)} v{version}"
            site.keep(
                f"{label} {len(site.answers)}",
                site.quietly(13, version, group_id=group, members=[{"member_id": who}]),
            )
        site.ask(
            f"no such group v{version}",
            13,
            version,
            group_id="leave-missing",
            members=[{"member_id": "x"}],
        )
        site.ask(f"empty group v{version}", 13, version, group_id="", members=[{"member_id": "x"}])
    member = joined(site, "several", "leave-several")
    site.ask(
        "several at once",
        13,
        group_id="leave-several",
        members=[{"member_id": "nobody"}, {"member_id": member}, {"member_id": member}],
    )
    site.ask("nobody at all", 13, group_id="leave-several", members=[])


def static_members(site: Site) -> None:
    first = joined(site, "static", "static", group_instance_id="one")
    for label, who, instance in (
        ("right", first, "one"),
        ("wrong member", "nobody", "one"),
        ("no member", "", "one"),
        ("wrong instance", first, "two"),
        ("no instance", first, None),
    ):
        site.ask(
            f"heartbeat {label}",
            12,
            group_id="static",
            generation_id=1,
            member_id=who,
            group_instance_id=instance,
        )
        site.ask(
            f"sync {label}",
            14,
            group_id="static",
            generation_id=1,
            member_id=who,
            group_instance_id=instance,
            protocol_type="consumer",
            protocol_name="range",
        )
        site.ask(
            f"commit {label}",
            8,
            9,
            group_id="static",
            member_id=who,
            group_instance_id=instance,
            generation_id_or_member_epoch=1,
            topics=[],
        )
    join(
        site,
        "unknown member with a known instance",
        "static",
        member_id="nobody",
        group_instance_id="one",
    )
    again = join(site, "comes back", "static", group_instance_id="one")
    second = str(again.member_id)
    site.ask(
        "old member's heartbeat",
        12,
        group_id="static",
        generation_id=1,
        member_id=first,
        group_instance_id="one",
    )
    site.ask(
        "new member's heartbeat",
        12,
        group_id="static",
        generation_id=1,
        member_id=second,
        group_instance_id="one",
    )
    site.ask(
        "new member's sync",
        14,
        group_id="static",
        generation_id=1,
        member_id=second,
        group_instance_id="one",
        protocol_type="consumer",
        protocol_name="range",
    )
    site.ask("describe", 15, groups=["static"])
    join(site, "old member joins", "static", member_id=first, group_instance_id="one")
    site.ask(
        "old member leaves",
        13,
        group_id="static",
        members=[{"member_id": first, "group_instance_id": "one"}],
    )
    site.ask(
        "wrong instance leaves",
        13,
        group_id="static",
        members=[{"member_id": "", "group_instance_id": "two"}],
    )
    site.ask(
        "leaves by instance",
        13,
        group_id="static",
        members=[{"member_id": "", "group_instance_id": "one"}],
    )
    site.ask("describe after", 15, groups=["static"])
    for instance in ("", ".", "..", "a b", "x" * 250, "ä"):
        join(
            site,
            f"instance {instance[:5]!r} {len(instance)}",
            f"static-names-{instance}",
            group_instance_id=instance,
        )


def listing(site: Site) -> None:
    joined(site, "stable", "listed-stable")
    site.ask("commit", 8, 9, group_id="listed-empty", topics=[])
    for version in site.versions[16]:
        for states in ([], ["Stable"], ["stable"], ["Empty"], ["Nonsense"], ["Stable", "Empty"]):
            if version < 4 and states:
                continue
            answer = site.quietly(16, version, states_filter=states)
            answer.groups = [g for g in answer.groups if g.group_id.startswith("listed")]
            site.keep(f"{states} v{version}", answer)
    for types in (["classic"], ["Classic"], ["consumer"], ["nonsense"], ["classic", "consumer"]):
        answer = site.quietly(16, 5, types_filter=types)
        answer.groups = [g for g in answer.groups if g.group_id.startswith("listed")]
        site.keep(f"types {types}", answer)


def coordinators(site: Site) -> None:
    for version in site.versions[10]:
        for kind in (0, 1, 2, 3, -1):
            if version == 0 and kind:
                continue
            keys = ["some", ""] if version >= 4 else ["some"]
            if kind == 1:
                continue  # the first creates a topic in Kafka, which takes a while
            answer = site.quietly(10, version, key_type=kind, coordinator_keys=keys)
            while answer is not CLOSED and any(c.error_code == 15 for c in answer.coordinators):
                answer = site.quietly(10, version, key_type=kind, coordinator_keys=keys)
            site.keep(f"type {kind} v{version}", answer)
    site.ask("one twice", 10, coordinator_keys=["some", "some"])
    site.ask("none", 10, coordinator_keys=[])
