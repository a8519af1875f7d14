"""Tickets: signed, short, good once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from access_kit import NOW, SECRET, bearer, request, sign_in, token

from mainstem.errors import Invalid
from mainstem.live.access import (
    ANONYMOUS,
    Access,
    AccessDenied,
    Identity,
    LimitReached,
    Right,
    Source,
    TicketLedger,
    read_settings,
)
from mainstem.testing.clock import VirtualClock

TABLE: dict[str, Any] = {
    "tokens": {"secret": SECRET},
    "namespaces": {
        "comments": {"user": ["subscribe"]},
        "org": {"template": "org:{tenant}", "user": ["subscribe"]},
        "score": {},
    },
}


def worker(
    clock: VirtualClock,
    ledger: TicketLedger,
    *,
    secret: bytes = b"shared by all workers",
    node: str = "n1",
    **tickets: Any,
) -> Access:
    settings = read_settings({**TABLE, "tickets": tickets}, loopback=False)
    return Access(settings, clock, secret=secret, node=node, spend=ledger.spend_async)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW * 1000)


def present(access: Access, ticket: str) -> Identity:
    return sign_in(access, request(f"/live?channel=comments:1&ticket={quote(ticket)}"))


def refused(access: Access, ticket: str) -> str:
    with pytest.raises(AccessDenied) as caught:
        present(access, ticket)
    assert caught.value.status == 401
    return caught.value.reason


def test_a_ticket_stands_for_the_token_it_was_issued_for(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    holder = sign_in(access, bearer(token(jti="t-1", iat=NOW - 5, tenant="acme", other="x")))
    found = present(access, access.issue_ticket(holder))
    assert (found.user, found.token_id) == ("ann", "t-1")
    assert (found.expires_at, found.issued_at) == (holder.expires_at, NOW - 5)
    assert found.source is Source.TICKET
    access.may(found, Right.SUBSCRIBE, "comments:1")
    access.may(found, Right.SUBSCRIBE, "org:acme")


def test_a_ticket_carries_the_tokens_own_rights_and_no_other_claim(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    holder = sign_in(access, bearer(token(live={"subscribe": ["score:7"]}, email="a@b.example")))
    ticket = access.issue_ticket(holder)
    assert "email" not in jwt.decode(ticket, options={"verify_signature": False})["claims"]
    access.may(present(access, ticket), Right.SUBSCRIBE, "score:7")


def test_a_ticket_is_good_once_over_all_workers(clock: VirtualClock) -> None:
    ledger = TicketLedger(clock)
    first, second = worker(clock, ledger), worker(clock, ledger)
    ticket = first.issue_ticket(sign_in(first, bearer(token())))
    assert present(second, ticket).user == "ann"
    assert refused(first, ticket) == "ticket_used"
    assert refused(second, ticket) == "ticket_used"


def test_a_ticket_lives_30_seconds(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    holder = sign_in(access, bearer(token()))
    early, late = access.issue_ticket(holder), access.issue_ticket(holder)
    clock.advance(29.9)
    assert present(access, early).user == "ann"
    clock.advance(0.1)
    assert refused(access, late) == "ticket_expired"


def test_a_ticket_does_not_outlive_its_token(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    ticket = access.issue_ticket(sign_in(access, bearer(token(exp=NOW - 5))))  # 5 s of leeway left
    clock.advance(5)
    assert refused(access, ticket) == "ticket_expired"


@pytest.mark.parametrize("make_identity", [lambda: ANONYMOUS])
def test_nobody_gets_no_ticket(clock: VirtualClock, make_identity: Callable[[], Identity]) -> None:
    with pytest.raises(AccessDenied):
        worker(clock, TicketLedger(clock)).issue_ticket(make_identity())


def test_a_ticket_gets_no_ticket(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    found = present(access, access.issue_ticket(sign_in(access, bearer(token()))))
    with pytest.raises(AccessDenied):
        access.issue_ticket(found)


def test_an_expired_token_gets_no_ticket(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    holder = sign_in(access, bearer(token()))
    clock.advance(70)
    with pytest.raises(AccessDenied, match="expired"):
        access.issue_ticket(holder)


def test_a_revoked_token_has_no_ticket_either(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    ticket = access.issue_ticket(sign_in(access, bearer(token(jti="t-1"))))
    access.revoke(token_id="t-1")
    assert refused(access, ticket) == "revoked"


def test_another_nodes_ticket_is_refused_unless_allowed(clock: VirtualClock) -> None:
    first = worker(clock, TicketLedger(clock))
    ticket = first.issue_ticket(sign_in(first, bearer(token())))
    assert refused(worker(clock, TicketLedger(clock), node="n2"), ticket) == "ticket_node"
    lenient = worker(clock, TicketLedger(clock), node="n2", any_node=True)
    assert present(lenient, ticket).user == "ann"
    assert refused(lenient, ticket) == "ticket_used"


def test_a_ticket_of_another_secret_is_refused(clock: VirtualClock) -> None:
    other = worker(clock, TicketLedger(clock), secret=b"another secret of another role")
    ticket = other.issue_ticket(sign_in(other, bearer(token())))
    assert refused(worker(clock, TicketLedger(clock)), ticket) == "ticket"


def test_a_token_is_no_ticket_and_a_ticket_no_token(clock: VirtualClock) -> None:
    access = worker(clock, TicketLedger(clock))
    assert refused(access, token()) == "ticket"
    ticket = access.issue_ticket(sign_in(access, bearer(token())))
    with pytest.raises(AccessDenied):
        sign_in(access, bearer(ticket))


def test_a_token_signed_with_the_workers_secret_is_no_ticket(clock: VirtualClock) -> None:
    # The tickets' key is derived, so what else the secret signs cannot pass.
    access = worker(clock, TicketLedger(clock), secret=SECRET.encode())
    body = {"aud": "mainstem-live", "jti": "x", "node": "n1", "user": "eve", "claims": {}}
    header = {"typ": "mainstem-live-ticket+jwt"}
    assert refused(access, token(body, headers=header)) == "ticket"


@pytest.mark.parametrize("ticket", ["", "x", "a.b.c", "x" * 20_000, "\x00", "é"])
def test_what_is_no_ticket_is_refused(clock: VirtualClock, ticket: str) -> None:
    assert refused(worker(clock, TicketLedger(clock)), ticket) == "ticket"


def test_a_short_secret_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(Invalid):
        worker(clock, TicketLedger(clock), secret=b"short")


def test_the_ledger_forgets_what_has_expired_and_only_that(clock: VirtualClock) -> None:
    ledger = TicketLedger(clock)
    assert ledger.spend("a", NOW + 10)
    assert ledger.spend("b", NOW + 20)
    clock.advance(9.999)
    assert not ledger.spend("a", NOW + 10)
    clock.advance(0.001)
    assert not ledger.spend("a", NOW + 10)  # expired: refused as well
    assert not ledger.spend("b", NOW + 20)
    assert len(ledger) == 1


def test_a_full_ledger_refuses_rather_than_forgets(clock: VirtualClock) -> None:
    ledger = TicketLedger(clock, remembered=100)
    for number in range(100):
        assert ledger.spend(str(number), NOW + 30)
    with pytest.raises(LimitReached):
        ledger.spend("one more", NOW + 30)
    assert not ledger.spend("0", NOW + 30)
    clock.advance(30)
    assert ledger.spend("one more", NOW + 60)
    assert len(ledger) == 1


def test_two_uses_at_the_same_time_are_one(clock: VirtualClock) -> None:
    ledger = TicketLedger(clock)
    access = worker(clock, ledger)
    ticket = access.issue_ticket(sign_in(access, bearer(token())))

    async def both() -> list[object]:
        facts = request(f"/live?ticket={ticket}")
        tries = (access.authenticate(facts) for _ in range(5))
        return await asyncio.gather(*tries, return_exceptions=True)

    found = asyncio.run(both())
    assert sum(isinstance(each, Identity) for each in found) == 1
