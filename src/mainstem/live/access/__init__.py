"""Access: who may subscribe, publish, read history and see presence, and how much at once.

Decisions without I/O (but for a key set that is fetched off the loop), on a clock that is
passed in. A worker has one :class:`Access` and one :class:`Sessions`; the dispatcher has one
:class:`TicketLedger`.
"""

from __future__ import annotations

from mainstem.live.access.access import PROTOCOL, Access
from mainstem.live.access.addresses import limit_key
from mainstem.live.access.errors import AccessDenied, LimitReached, Refusal
from mainstem.live.access.identity import (
    ANONYMOUS,
    Identity,
    RequestFacts,
    Right,
    Source,
    parse_cookies,
)
from mainstem.live.access.limits import Admission
from mainstem.live.access.revocation import Revocations, Revoked
from mainstem.live.access.sessions import Due, Sessions, Step
from mainstem.live.access.settings import (
    AccessSettings,
    LimitSettings,
    NamespaceAccess,
    TicketSettings,
    TokenSettings,
    read_settings,
)
from mainstem.live.access.tickets import TicketLedger

__all__ = [
    "ANONYMOUS",
    "PROTOCOL",
    "Access",
    "AccessDenied",
    "AccessSettings",
    "Admission",
    "Due",
    "Identity",
    "LimitReached",
    "LimitSettings",
    "NamespaceAccess",
    "Refusal",
    "RequestFacts",
    "Revocations",
    "Revoked",
    "Right",
    "Sessions",
    "Source",
    "Step",
    "TicketLedger",
    "TicketSettings",
    "TokenSettings",
    "limit_key",
    "parse_cookies",
    "read_settings",
]
