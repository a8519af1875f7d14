"""Who may do what, and how much: access control lists, SCRAM users, quotas, the cluster itself."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from mainstem.client.arguments import names_of
from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.features import ask_feature
from mainstem.client.retry import Deadline
from mainstem.errors import Invalid
from mainstem.wire import Message

_DESCRIBE_ACLS, _CREATE_ACLS, _DELETE_ACLS = 29, 30, 31
_DESCRIBE_QUOTAS, _ALTER_QUOTAS = 48, 49
_DESCRIBE_USERS, _ALTER_USERS = 50, 51
_RESOURCE_NOT_FOUND = 91
_FEATURES = {
    _DESCRIBE_ACLS: "access control lists", _CREATE_ACLS: "access control lists",
    _DELETE_ACLS: "access control lists", _DESCRIBE_QUOTAS: "client quotas",
    _ALTER_QUOTAS: "client quotas", _DESCRIBE_USERS: "SCRAM users", _ALTER_USERS: "SCRAM users",
}  # fmt: skip

Resource = Literal["topic", "group", "cluster", "transactional_id", "delegation_token", "user"]
Operation = Literal[
    "all", "read", "write", "create", "delete", "alter", "describe", "cluster_action",
    "describe_configs", "alter_configs", "idempotent_write", "create_tokens", "describe_tokens",
    "two_phase_commit",
]  # fmt: skip
Permission = Literal["allow", "deny"]
Pattern = Literal["literal", "prefixed"]
ScramMechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-512"]
Entity = Mapping[Literal["user", "client-id", "ip"], str | None]

# org.apache.kafka.common.resource.ResourceType, PatternType; common.acl.AclOperation,
# AclPermissionType: 1 stands for "any" in a filter.
_RESOURCES: dict[str, int] = {name: code for code, name in enumerate(get_args(Resource), 2)}
_OPERATIONS: dict[str, int] = {name: code for code, name in enumerate(get_args(Operation), 2)}
_PERMISSIONS = {"deny": 2, "allow": 3}
_PATTERNS = {"literal": 3, "prefixed": 4}
_FILTER_PATTERNS = {**_PATTERNS, "match": 2}
_MECHANISMS = {"SCRAM-SHA-256": 1, "SCRAM-SHA-512": 2}
_ANY = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Acl:
    """One rule: ``principal`` may, or may not, do ``operation`` on what ``name`` stands for.

    ``name`` is a whole name, ``"*"`` for all, or with ``pattern="prefixed"`` how names begin;
    the cluster's is ``"kafka-cluster"``. ``principal`` is as ``"User:alice"``.
    """

    resource: Resource
    name: str
    principal: str
    operation: Operation
    permission: Permission = "allow"
    host: str = "*"
    pattern: Pattern = "literal"


@dataclass(frozen=True, slots=True)
class User:
    """A user who logs in by SCRAM; iterations by mechanism."""

    name: str
    mechanisms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one entity, as ``{"user": "alice"}``; a name of ``None`` is the default.

    Limits by Kafka's names: ``producer_byte_rate`` and ``consumer_byte_rate`` in bytes a second,
    ``request_percentage``, ``controller_mutation_rate``, ``connection_creation_rate``.
    """

    entity: Mapping[str, str | None]
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The cluster's id, its controller as far as it tells, and addresses by broker id."""

    id: str | None
    controller: int
    brokers: Mapping[int, str]


class Access:
    """Administration of access. Belongs to the client's event loop.

    Every method raises ``Invalid`` with code 35 where the broker does not have the feature, and
    ``Denied`` where the caller may not use it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def describe_cluster(self) -> ClusterDescription:
        """Ask for the brokers there are at the moment."""

        async def attempt(deadline: Deadline) -> None:
            await self._cluster.refresh([], deadline)

        await self._cluster.retrying(attempt)
        found = self._cluster.metadata
        brokers = {node: f"{host}:{port}" for node, (host, port) in sorted(found.nodes.items())}
        return ClusterDescription(found.cluster_id, found.controller, brokers)

    async def _ask(self, api_key: int, message: Message, read: Callable[[Message], T]) -> T:
        """See ``ask_feature``."""
        lacking = (
            f"{_FEATURES[api_key]} are not supported by the broker at {{}}: use one that has "
            "them, as Apache Kafka 3 or newer"
        )
        return await ask_feature(self._cluster, api_key, message, read, lacking)

    # --- access control lists ----------------------------------------------------------------

    async def acls(self, **wanted: Any) -> list[Acl]:
        """Rules that fit all of ``wanted``, fields of ``Acl``; ``pattern="match"`` finds every
        rule that applies to ``name``."""

        def read(answer: Message) -> list[Acl]:
            raise_for(int(answer.error_code), "list ACLs", answer.error_message)
            return [_acl(found, rule) for found in answer.resources for rule in found.acls]

        rules = await self._ask(_DESCRIBE_ACLS, _filter(wanted), read)
        return sorted(rules, key=_order)

    async def create_acls(self, rules: Iterable[Acl]) -> None:
        """Add rules; one that exists already stays. Raises for the first that is refused."""
        listed = list(rules)
        creations = [
            Message(
                resource_type=_code(rule.resource, _RESOURCES, "resource"),
                resource_name=rule.name,
                resource_pattern_type=_code(rule.pattern, _PATTERNS, "pattern"),
                principal=_principal(rule.principal),
                host=rule.host,
                operation=_code(rule.operation, _OPERATIONS, "operation"),
                permission_type=_code(rule.permission, _PERMISSIONS, "permission"),
            )
            for rule in listed
        ]

        def read(answer: Message) -> None:
            for rule, result in zip(listed, answer.results, strict=True):
                raise_for(int(result.error_code), f"add {rule}", result.error_message)

        await self._ask(_CREATE_ACLS, Message(creations=creations), read)

    async def delete_acls(self, **wanted: Any) -> list[Acl]:
        """Delete the rules that fit, as for ``acls``; what was deleted.

        Without any restriction it is refused: name at least one field.
        """
        if not wanted:
            raise Invalid("deleting every ACL was not asked for: name what to delete, as name='*'")

        def read(answer: Message) -> list[Acl]:
            (result,) = answer.filter_results
            raise_for(int(result.error_code), "delete ACLs", result.error_message)
            for found in result.matching_acls:
                raise_for(int(found.error_code), "delete an ACL", found.error_message)
            return [_acl(found, found) for found in result.matching_acls]

        rules = await self._ask(_DELETE_ACLS, Message(filters=[_filter(wanted)]), read)
        return sorted(rules, key=_order)

    # --- users -------------------------------------------------------------------------------

    async def users(self, names: Sequence[str] | None = None) -> list[User]:
        """Users with SCRAM credentials, sorted; of ``names``, those that exist."""
        asked = None if names is None else [Message(name=name) for name in names_of("names", names)]

        def read(answer: Message) -> list[User]:
            raise_for(int(answer.error_code), "list users", answer.error_message)
            found = []
            for result in answer.results:
                if result.error_code == _RESOURCE_NOT_FOUND:
                    continue
                raise_for(int(result.error_code), f"user {result.user!r}", result.error_message)
                infos = {
                    _name(info.mechanism, _MECHANISMS): int(info.iterations)
                    for info in result.credential_infos
                }
                found.append(User(result.user, infos))
            return sorted(found, key=lambda user: user.name)

        return await self._ask(_DESCRIBE_USERS, Message(users=asked), read)

    async def set_password(
        self,
        user: str,
        password: str,
        *,
        mechanism: ScramMechanism = "SCRAM-SHA-512",
        iterations: int = 8192,
    ) -> None:
        """Create a user or change the password. Only a salted hash of it leaves this process."""
        code = _code(mechanism, _MECHANISMS, "mechanism")
        if not password:
            raise Invalid(f"user {user!r} needs a password that is not empty")
        salt = secrets.token_bytes(32)
        digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, iterations)
        change = Message(
            name=user, mechanism=code, iterations=iterations, salt=salt, salted_password=salted
        )
        await self._alter_users(user, [], [change])

    async def delete_user(self, user: str, *, mechanism: ScramMechanism | None = None) -> None:
        """Delete a user's credentials, or those of one mechanism. Raises ``Invalid`` for none."""
        if mechanism is None:
            found = await self.users([user])
            mechanisms = [_MECHANISMS[name] for each in found for name in each.mechanisms]
            if not mechanisms:
                raise Invalid(f"there is no user {user!r} with a SCRAM password", code=91)
        else:
            mechanisms = [_code(mechanism, _MECHANISMS, "mechanism")]
        gone = [Message(name=user, mechanism=code) for code in mechanisms]
        await self._alter_users(user, gone, [])

    async def _alter_users(self, user: str, gone: list[Message], new: list[Message]) -> None:
        def read(answer: Message) -> None:
            for result in answer.results:
                raise_for(int(result.error_code), f"change user {user!r}", result.error_message)

        await self._ask(_ALTER_USERS, Message(deletions=gone, upsertions=new), read)

    # --- quotas ------------------------------------------------------------------------------

    async def quotas(self, entity: Entity | None = None) -> list[Quota]:
        """All quotas, or those set for exactly this entity."""
        parts = [
            Message(entity_type=kind, match_type=0 if name is not None else 1, match=name)
            for kind, name in (entity or {}).items()
        ]

        def read(answer: Message) -> list[Quota]:
            raise_for(int(answer.error_code), "list quotas", answer.error_message)
            return [
                Quota(
                    {part.entity_type: part.entity_name for part in entry.entity},
                    {value.key: float(value.value) for value in entry.values},
                )
                for entry in answer.entries or []
            ]

        message = Message(components=parts, strict=entity is not None)
        found = await self._ask(_DESCRIBE_QUOTAS, message, read)
        return sorted(
            found, key=lambda quota: sorted((k, v or "") for k, v in quota.entity.items())
        )

    async def alter_quotas(self, entity: Entity, limits: Mapping[str, float | None]) -> None:
        """Set limits of an entity; ``None`` takes one away. See ``Quota`` for the names."""
        if not entity:
            raise Invalid("a quota needs an entity, as {'user': 'alice'} or {'client-id': None}")
        parts = [Message(entity_type=kind, entity_name=name) for kind, name in entity.items()]
        changes = [
            Message(key=key, value=float(value or 0.0), remove=value is None)
            for key, value in limits.items()
        ]

        def read(answer: Message) -> None:
            for entry in answer.entries:
                raise_for(int(entry.error_code), f"quota of {dict(entity)}", entry.error_message)

        entry = Message(entity=parts, ops=changes)
        await self._ask(_ALTER_QUOTAS, Message(entries=[entry], validate_only=False), read)


def _code(name: str, codes: Mapping[str, int], what: str) -> int:
    try:
        return codes[name]
    except (KeyError, TypeError):
        raise Invalid(f"{name!r} is no {what}: use one of {', '.join(codes)}") from None


def _name(code: int, codes: Mapping[str, int]) -> Any:
    return next((name for name, known in codes.items() if known == code), f"unknown ({code})")


def _principal(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not colon or not kind or not name:
        raise Invalid(f"{text!r} is no principal: write User:NAME", code=67)
    return text


def _filter(wanted: Mapping[str, Any]) -> Message:
    known = {"resource", "name", "principal", "operation", "permission", "host", "pattern"}
    for unknown in wanted.keys() - known:
        raise Invalid(f"ACLs have no {unknown!r}: they have {', '.join(sorted(known))}")

    def code(name: str, codes: Mapping[str, int]) -> int:
        return _ANY if wanted.get(name) is None else _code(wanted[name], codes, name)

    return Message(
        resource_type_filter=code("resource", _RESOURCES),
        resource_name_filter=wanted.get("name"),
        pattern_type_filter=code("pattern", _FILTER_PATTERNS),
        principal_filter=wanted.get("principal"),
        host_filter=wanted.get("host"),
        operation=code("operation", _OPERATIONS),
        permission_type=code("permission", _PERMISSIONS),
    )


def _acl(found: Message, rule: Message) -> Acl:
    return Acl(
        _name(found.resource_type, _RESOURCES),
        found.resource_name,
        rule.principal,
        _name(rule.operation, _OPERATIONS),
        _name(rule.permission_type, _PERMISSIONS),
        rule.host,
        _name(found.pattern_type, _PATTERNS),
    )


def _order(rule: Acl) -> tuple[str, ...]:
    return (rule.resource, rule.name, rule.principal, rule.operation, rule.permission, rule.host)
