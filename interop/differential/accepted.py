"""Differences from Apache Kafka 4.3.1 that we know and keep, each with its reason.

Patterns are searched in ``label/path: ours != theirs``; those under a scenario's name must all
occur in it, so that none outlives its cause.
"""

from __future__ import annotations

#: In any scenario.
EVERYWHERE = {
    r"partition_responses/\d+/log_start_offset: -1 != 0$":
        "Kafka tells the log start offset with some refusals; clients look at it for 59 only",
    r"partition_responses/\d+/log_append_time_ms: -1 != 'now'$":
        "Kafka tells when a duplicate was first appended even where timestamps are the client's",
    r"/(high_watermark|last_stable_offset|log_start_offset): \d+ != -1$":
        "a Fetch that fails still tells the ends of the log, which is what its client asks next",
}  # fmt: skip

_ONCE = "what is asked for twice in one request is answered once: a small request, a small answer"
_FRAMING = "bytes that are not whole batches are corrupt (2), whatever is before them"

BY_SCENARIO: dict[str, dict[str, str]] = {
    "produce_to_odd_places": {
        r"^no partitions/": "a topic without partitions is repeated in the answer, without any",
    },
    "produce_partly": {
        r"^one (partition|topic) twice/": "both are stored and answered; Kafka drops the first",
    },
    "produce_nothing": {r"^one byte v\d+/.*error_code: 2 != 87": _FRAMING},
    "produce_wrong_headers": {
        r"^length -?\d+/.*error_code: 2 != (87|-1)": _FRAMING,
        r"^magic (3|127)/.*error_code: 87 != 2": "a magic never heard of is invalid, not corrupt",
    },
    "produce_what_only_one_takes": {
        r"^base offset -?\d+/": "the base offset is the broker's to set; a client's is ignored",
        r"^two batches/": "several batches for a partition are taken where nothing forbids it",
        r"^trailing bytes/": _FRAMING,
        r"^second batch cut short/": _FRAMING,
        r"of junk/": "batches are opaque: only compacted topics have their records looked at",
    },
    "produce_attributes": {
        r"^codec [567]/.*error_code: 87 != -1": "an unknown codec is an invalid record",
    },
    "produce_too_large": {
        r"^small batches over the limit together/": "several batches for a partition are taken",
    },
    "list_odd_offsets": {
        r"^isolation (2|-1)/": "an isolation level that does not exist is read_uncommitted",
    },
    "fetch_odd_places": {
        r"^isolation (2|-1)/": "an isolation level that does not exist is read_uncommitted",
        r"^(partition_)?max_bytes -\d+/": "a negative limit is zero: the first batch still comes",
    },
    "fetch_several": {
        r"^twice/": "a partition asked for twice is answered twice, within the same limit",
    },
    "fetch_sessions": {r"/session_id: 0 != ": "sessions are declined (KIP-227 allows that)"},
    "delete_records": {
        r"^twice/": "a partition named twice is answered twice, in order; the start only moves up",
    },
    "leader_epochs": {
        r"-2 current -?\d/.*(leader_epoch|end_offset): ": "epoch -2 is no epoch, and unknown",
    },
    "sequences": {
        r"^older epoch of nobody/.*: 87 != 47": "a negative producer epoch is an invalid record",
    },
    "metadata": {
        r"id.* v1[01]/": "ids work from version 10 on; Kafka refuses them before version 12",
        r"^neither v1\d/": "a topic without name and id is an invalid topic, not a server error",
    },
    "create_topics": {
        r"validated( v7)?/topics/0/topic_id: None": "no id is made up for what is not created",
        r"^validated v7/topics/0/topic_id: None": "no id is made up for what is not created",
        r"partitions(/| validated/).*error_code: 37 != 44": "too many partitions is told as 37",
        r"config retention.bytes='-5'/": "only -1 means unlimited",
        r"config cleanup.policy=''/": "a topic has a cleanup policy",
        r"config cleanup.policy='delete,delete'/": "a policy is given once",
        r"config segment.bytes='1048575'/": "segments may be smaller than a megabyte",
        r"config compression.type='zstd'/": "nothing is compressed again here: only 'producer'",
        r"config min.insync.replicas='2'/": "there is one replica: two can never be in sync",
        r"^config twice/": "which of two values is meant cannot be known",
    },
    "delete_topics": {
        r"^one by name and by id/": "the first deletes it, the second finds it gone",
    },
    "describe_topic_partitions": {
        r"^from (pages-between|zzz)? ?0/": "a cursor is a place in the order, not a topic",
        r"^odd ''/": "an empty name is an invalid topic, not a server error",
    },
    "elections_and_moves": {
        r"^elect (2|-1) v\d/": "an unknown kind of election is refused as a whole",
    },
    "log_directories": {
        r"^no partitions/": "a topic asked for without partitions is named, without any",
    },
    "producers_of_nothing": {r"error_code: 3 != 17": "an empty name is an unknown topic"},
    "members_and_generations": {r"^describe twice/": _ONCE},
    "committing": {r"^one group twice/": _ONCE},
    "deleting": {
        r"^no group name/error_code: 69 != 24": "there is no group of that name",
        r"^no partitions/": "a topic without partitions is repeated in the answer, without any",
    },
    "describe": {
        r"^twice/": _ONCE,
        r"^(names|types|defaults) of all/?.*: ": "there is one config more, mainstem.flush",
    },
    "replace": {
        r"^null/.*error_code: 40 != 42": "a null value is an invalid config",
        r"^no name/.*error_code: 17 != 42": "an empty name is an invalid topic",
    },
    "change": {
        r"^unknown operation/.*error_code: 42 != -1": "the request is wrong, not the server",
        r"^no name/.*error_code: 17 != 42": "an empty name is an invalid topic",
        r"^read-only 2/.*error_code: 40 != 0": "a broker config that does not exist is refused",
        r"^one resource twice/": _ONCE,
    },
    "names": {r"\[(8)?\] v1/config_resources: ": "there are no broker loggers to configure"},
}  # fmt: skip
