"""Every Kafka error code as one of our few kinds, with what to do next.

Source: org.apache.kafka.common.protocol.Errors, codes -1 to 133. A code of a
newer broker that this table does not know is ``Invalid``: retrying blindly helps nobody.
"""

from __future__ import annotations

from mainstem.errors import Conflict, Corrupt, Denied, Invalid, MainstemError, Unavailable
from mainstem.wire import ErrorCode

Kind = type[MainstemError]

_UNAVAILABLE = """
-1 the broker met an error it did not expect|retry, and look into the broker's log
5 no broker leads the partition at the moment|retry
6 the broker asked does not lead the partition any more|refresh the metadata and retry
7 the broker did not finish in time|retry, or raise the time-out
8 the broker is not available|retry
9 the replica is not available|retry
13 the connection was lost before the answer came|retry
14 the group's coordinator is still loading|retry
15 no coordinator is available|retry
16 the broker asked does not coordinate this group any more|find the coordinator and retry
19 fewer replicas are in sync than min.insync.replicas|bring the replicas back and retry
20 the records are written, on fewer replicas than min.insync.replicas|bring the replicas back
27 the group is rebalancing|rejoin and retry
41 the broker asked is not the controller|find the controller and retry
51 another change of this transaction is under way|retry
56 the broker cannot use its disk|look into the broker's log: a full or broken disk
70 the fetch session is gone|start a full fetch
71 the fetch session is out of step|start a full fetch
72 the leader has no listener like the one asked|check the listeners of all brokers
74 the leader epoch is older than the broker's|refresh the metadata and retry
75 the leader epoch is newer than the broker's|retry
78 the leader has not settled its high watermark|retry
79 the group wants its member id first|join again with the id given
80 the preferred leader is not available|retry
83 no eligible leader is available|retry
88 offsets of open transactions are pending|retry
89 the quota is used up|slow down and retry
100 no topic has this id|refresh the metadata and retry
103 the topic's id changed: it was deleted and created again|refresh the metadata and retry
106 the fetch session mixed topic names and ids|start a full fetch
122 the share session is gone|open a new one
123 the share session is out of step|open a new one
129 the client's metadata is stale|connect again
133 the broker holds as many share sessions as it may|retry later
"""
_CONFLICT = """
22 the group is at another generation|rejoin the group
25 the group does not know this member|rejoin the group
36 the topic exists already|use it, or choose another name
45 a sequence number is missing before this batch|open a new producer and check what was written
46 the batch was written before|go on
47 a newer producer with this id has taken over|close this one
49 the producer id does not belong to this transactional id|open a new producer
52 a newer transaction coordinator has taken over|retry with a new producer
59 the broker has forgotten this producer|open a new producer
60 the partition is being moved|wait until it is done
68 the group has members|stop its consumers first
82 another consumer with the same group.instance.id has taken over|close this one
84 the leader is the wanted one already|nothing needs to be done
85 the partition is not being moved|nothing needs to be done
86 the group is subscribed to the topic|stop its consumers first
90 a newer producer with this transactional id has taken over|close this one
94 the voters are not the expected ones|re-read the quorum
95 the update's version is not the next one|re-read and retry
101 this broker id is taken|choose another
108 a new leader was elected meanwhile|re-read the metadata
110 the member's epoch is fenced|rejoin the group
111 the instance id is still in use|stop the other member first
113 the member's epoch is stale|send the newest epoch
120 the transaction failed|abort it and start again
124 the share group's state moved on|re-read it
126 the voter exists already|nothing needs to be done
131 the topology is older than the group's|restart with the newest
132 the topology is older than the group's|restart with the newest
11 a newer controller has taken over|re-read the metadata
77 the broker was restarted meanwhile|re-read the metadata
"""
_INVALID = """
1 the offset is outside the partition|start from earliest, latest or an offset between them
3 there is no such topic or partition|check the name, or create the topic
4 the fetch size is not valid|ask for a positive number of bytes
10 the records are larger than the topic's max.message.bytes|send smaller ones, or raise it
12 the offset's metadata is too long|shorten it
17 the topic name is not valid|use 1 to 249 of a-z A-Z 0-9 . _ -
18 the records are larger than a segment|send smaller batches
21 acks is not valid|use "all", 1 or 0
23 the member's protocols are not those of its group|use the assignor the others use
24 the group id is not valid|give a name that is not empty
26 the session time-out is outside the broker's limits|choose one between them
28 the offset commit is too large|commit fewer partitions at once, or less metadata
32 a timestamp is outside what the topic accepts|check the timestamps
33 the broker does not know the SASL mechanism|choose one it lists
34 the request does not fit the SASL exchange|authenticate first
35 the broker does not know this version of the request|use a newer broker
37 the number of partitions is not valid|give a number above zero that does not shrink the topic
38 the replication factor is not valid|use at most the number of brokers
39 the replica assignment is not valid|assign every partition to brokers that exist
40 a setting is not valid|check its name and value
42 the request is not valid|check its arguments
43 the topic's message format is too old for this|upgrade the topic
44 the broker's policy refuses this|see what the policy asks for
48 the transaction is in a state that does not allow this|begin one first
50 the transaction time-out is above the broker's limit|shorten it
54 security is not enabled on the broker|enable it first
55 the broker did not try, because another item failed|fix that item and retry
57 the broker has no such log directory|check the path
62 there is no such delegation token|create one
67 the principal type is not valid|use User
69 there is no such group|check the name
73 the broker does not allow topics to be deleted|set delete.topic.enable
76 the compression is not supported there|use another, or none
81 the group has as many members as it may|raise group.max.size, or stop a member
87 a record is not valid for this topic|see the broker's reason; a compacted topic needs keys
91 what the request names does not exist|check the names
92 the request names something twice|name it once
93 the credential is not acceptable|choose a stronger one
96 the feature could not be changed|look into the broker's log
98 there is no such snapshot|ask for the latest
99 the position is outside the snapshot|ask for one inside
102 no such broker is registered|check the broker id
104 the cluster id is another one|check the address
105 there is no such transactional id|check the name
107 a replica cannot join the in-sync set|check the replicas
109 the offset has moved to tiered storage|read it from there
112 the group does not support the assignor|choose one the broker lists
114 the request went to an endpoint of the wrong type|connect to a broker
115 the endpoint type is not supported|connect to a broker
116 there is no such controller|check the id
117 the telemetry subscription is unknown|fetch it again
118 the telemetry is too large|send less
119 the broker's registration is not valid|look into the controller's log
121 the record's state does not allow this|acquire the record again
125 the voter's key is not the replica's|check it
127 there is no such voter|check the id
128 the regular expression is not valid|fix it (RE2 syntax)
130 the topology is not valid|check source and internal topics
"""
_DENIED = """
29 not allowed on this topic|ask for the permission, or use another user
30 not allowed on this group|ask for the permission, or use another user
31 not allowed on this cluster|ask for the permission, or use another user
53 not allowed with this transactional id|ask for the permission, or use another id
58 the user or password is wrong|check both
61 the broker does not use delegation tokens|configure them there
63 the delegation token belongs to someone else|use your own
64 a delegation token cannot be used for this|authenticate otherwise
65 not allowed on this delegation token|ask its owner
66 the delegation token has expired|renew it
97 the broker could not read the forwarded principal|check the brokers' security settings
"""
_CORRUPT = """
2 the records did not arrive as they were sent, or fail their checksum|check network and disk
"""


def _table() -> dict[int, tuple[Kind, str, str]]:
    found: dict[int, tuple[Kind, str, str]] = {}
    for kind, lines in (
        (Unavailable, _UNAVAILABLE),
        (Conflict, _CONFLICT),
        (Invalid, _INVALID),
        (Denied, _DENIED),
        (Corrupt, _CORRUPT),
    ):
        for line in lines.strip().splitlines():
            code, _, text = line.partition(" ")
            meaning, _, advice = text.partition("|")
            found[int(code)] = kind, meaning, advice
    return found


TABLE = _table()
#: After these the leader of a partition, or the coordinator of a group, must be looked up again.
STALE_METADATA = frozenset({3, 5, 6, 13, 14, 15, 16, 41, 56, 72, 74, 75, 78, 100, 103})


def error_for(code: int, subject: str, reason: str | None = None) -> MainstemError:
    """The exception for a Kafka error code; it is returned, not raised.

    ``subject`` says what was being done to what (``"append to 'flights' partition 2"``),
    ``reason`` is the broker's own text where it gave one. The advice is ours, unless that text
    goes on after a colon, as advice does.
    """
    known = TABLE.get(code)
    if known is None:
        text = reason or "an error this version of Mainstem does not know"
        return Invalid(f"{subject}: {text} (code {code})", code=code)
    kind, meaning, advice = known
    text = (reason or "").strip().rstrip(".")
    if ": " not in text:
        text = f"{text or meaning}; {advice}"
    return kind(f"{subject}: {text} ({_name(code)})", code=code)


def is_retriable(code: int) -> bool:
    """Whether the same request may succeed later, as Kafka's own clients see it."""
    return code in TABLE and ErrorCode(code).retriable


def _name(code: int) -> str:
    return ErrorCode(code).name.upper()
