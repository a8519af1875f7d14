"""Administration of access for plain Python: the same names as ``mainstem.client.Access``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mainstem.client import Access as AsyncAccess
from mainstem.client import Acl, ClusterDescription, Entity, Quota, ScramMechanism, User
from mainstem.face.loop import run


class Access:
    """Who may do what, and how much: ``stem.access``. Thread-safe.

    Methods raise ``Invalid`` with code 35 where the broker does not have the feature (as
    Mainstem's own at present), ``Denied`` where the caller may not use it.
    """

    def __init__(self, check: Callable[[], None], access: AsyncAccess) -> None:
        self._check = check
        self._access = access

    def describe_cluster(self) -> ClusterDescription:
        """The cluster's id, controller and brokers."""
        self._check()
        return run(self._access.describe_cluster)

    def acls(self, **wanted: Any) -> list[Acl]:
        """Rules that fit all of ``wanted``, fields of ``Acl``; ``pattern="match"`` finds every
        rule that applies to ``name``."""
        self._check()
        return run(self._access.acls, **wanted)

    def create_acls(self, rules: Iterable[Acl]) -> None:
        """Add rules; one that exists already stays. Raises for the first that is refused."""
        self._check()
        run(self._access.create_acls, rules)

    def delete_acls(self, **wanted: Any) -> list[Acl]:
        """Delete the rules that fit, as for ``acls``; what was deleted."""
        self._check()
        return run(self._access.delete_acls, **wanted)

    def users(self, names: Sequence[str] | None = None) -> list[User]:
        """Users with SCRAM credentials, sorted; of ``names``, those that exist."""
        self._check()
        return run(self._access.users, names)

    def set_password(
        self,
        user: str,
        password: str,
        *,
        mechanism: ScramMechanism = "SCRAM-SHA-512",
        iterations: int = 8192,
    ) -> None:
        """Create a user or change the password. Only a salted hash of it leaves this process."""
        self._check()
        run(self._access.set_password, user, password, mechanism=mechanism, iterations=iterations)

    def delete_user(self, user: str, *, mechanism: ScramMechanism | None = None) -> None:
        """Delete a user's credentials, or those of one mechanism. Raises ``Invalid`` for none."""
        self._check()
        run(self._access.delete_user, user, mechanism=mechanism)

    def quotas(self, entity: Entity | None = None) -> list[Quota]:
        """All quotas, or those set for exactly this entity."""
        self._check()
        return run(self._access.quotas, entity)

    def alter_quotas(self, entity: Entity, limits: Mapping[str, float | None]) -> None:
        """Set limits of an entity; ``None`` takes one away. See ``Quota`` for the names."""
        self._check()
        run(self._access.alter_quotas, entity, limits)
