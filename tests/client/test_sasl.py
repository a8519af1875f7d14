"""SASL mechanisms against the RFCs' own examples, and against brokers that cheat."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from mainstem.client.sasl import Bearer, Plain, Scram, exchange
from mainstem.client.security import Sasl, Tls, tls_context
from mainstem.errors import Denied, Invalid

NONCE = "rOprNGfwEbeRWgbNEkqO"
FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
LAST = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def scram() -> Scram:
    """The client of RFC 7677 section 3."""
    return Scram("SCRAM-SHA-256", "user", "pencil", NONCE)


def test_scram_speaks_as_the_rfc_shows() -> None:
    client = scram()
    assert client.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert client.step(FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert client.step(LAST) is None
    client.finish()


@pytest.mark.parametrize(("mechanism", "digest"), [("SCRAM-SHA-512", "sha512")])
def test_scram_proves_the_password_with_its_own_digest(mechanism: str, digest: str) -> None:
    client = Scram(mechanism, "a,b=c", "secret")
    first = client.first().decode()
    assert first.startswith("n,,n=a=2Cb=3Dc,r=")
    nonce = first.rpartition("r=")[2] + "server"
    challenge = f"r={nonce},s={base64.b64encode(b'salt').decode()},i=5000"
    answer = client.step(challenge.encode())
    assert answer is not None
    bare, _, proof = answer.decode().rpartition(",p=")
    salted = hashlib.pbkdf2_hmac(digest, b"secret", b"salt", 5000)
    key = hmac.digest(salted, b"Client Key", digest)
    message = f"{first[3:]},{challenge},{bare}".encode()
    sign = hmac.digest(hashlib.new(digest, key).digest(), message, digest)
    assert bytes(a ^ b for a, b in zip(base64.b64decode(proof), sign, strict=True)) == key


@pytest.mark.parametrize(
    ("challenge", "reason"),
    [
        (FIRST.replace(b"rOpr", b"xOpr"), "nonce or salt"),
        (b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce or salt"),
        (FIRST.replace(b"s=W22ZaJ0SNY7soEsUEjb6gQ==", b"s="), "nonce or salt"),
        (FIRST.replace(b"W22", b"!!!"), "base64"),
        (FIRST.replace(b"i=4096", b"i=4095"), "4095 iterations"),
        (FIRST.replace(b"i=4096", b"i=1048577"), "1048577 iterations"),
        (FIRST.replace(b"i=4096", b"i=99999999999"), "iterations"),
        (FIRST.replace(b"i=4096", b"i=x"), "iterations"),
        (FIRST.replace(b",i=4096", b""), "no iterations"),
        (b"m=x," + FIRST, "list of attributes"),
        (FIRST + b",r=again", "list of attributes"),
        (b"\xff", "not text"),
        (b"", "list of attributes"),
    ],
)
def test_a_scram_challenge_that_is_not_sound_is_denied(challenge: bytes, reason: str) -> None:
    with pytest.raises(Denied, match=reason):
        scram().step(challenge)


def test_a_broker_that_does_not_know_the_password_is_denied() -> None:
    client = scram()
    client.step(FIRST)
    with pytest.raises(Denied, match="may not be the broker"):
        client.step(b"v=" + base64.b64encode(bytes(32)))


def test_a_broker_that_skips_its_proof_is_denied() -> None:
    client = scram()
    with pytest.raises(Denied, match="without proving"):
        client.finish()
    client.step(FIRST)
    with pytest.raises(Denied, match="without proving"):
        client.finish()


def test_a_scram_refusal_says_why() -> None:
    client = scram()
    client.step(FIRST)
    with pytest.raises(Denied, match="unknown-user"):
        client.step(b"e=unknown-user")


def test_plain_sends_name_and_password() -> None:
    client = Plain("alice", "p=ä,")
    assert client.first() == b"\0alice\0p=\xc3\xa4,"
    assert client.step(b"") is None


def test_bearer_sends_token_and_extensions() -> None:
    client = Bearer("abc.def", {"logicalCluster": "lkc-1"})
    assert client.first() == b"n,,\x01auth=Bearer abc.def\x01logicalCluster=lkc-1\x01\x01"
    assert client.step(b"") is None
    client.finish()


def test_a_refused_token_is_answered_and_denied() -> None:
    client = Bearer("abc", {})
    assert client.step(b'{"status":"invalid_token"}') == b"\x01"
    with pytest.raises(Denied, match="invalid_token"):
        client.finish()


@pytest.mark.parametrize(
    ("token", "extensions"),
    [("", {}), ("a\x01b", {}), ("ä", {}), ("a", {"auth": "x"}), ("a", {"x1": "y"})],
)
def test_a_token_that_cannot_be_sent_is_invalid(token: str, extensions: Any) -> None:
    with pytest.raises(Invalid):
        Bearer(token, extensions)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"mechanism": "GSSAPI", "username": "a", "password": "b"}, "'GSSAPI' is not a SASL"),
        ({"mechanism": "PLAIN", "username": "a"}, "needs a password for user 'a'"),
        ({"mechanism": "PLAIN", "password": "b"}, "needs a username"),
        ({"mechanism": "PLAIN", "username": "a\0", "password": "b"}, "zero byte"),
        ({"mechanism": "OAUTHBEARER"}, "needs token"),
        ({"mechanism": "OAUTHBEARER", "token": str, "username": "a"}, "no username"),
        (
            {"mechanism": "SCRAM-SHA-256", "username": "a", "password": "b", "token": str},
            "no token",
        ),
    ],
)
def test_a_login_that_cannot_work_is_refused(arguments: Any, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        Sasl(**arguments)


def test_a_login_does_not_show_its_secret() -> None:
    assert "hush" not in repr(Sasl("PLAIN", "a", "hush"))
    assert "hush" not in repr(Tls(key_password="hush"))


def test_each_mechanism_has_its_exchange() -> None:
    assert isinstance(exchange(Sasl("PLAIN", "a", "b")), Plain)
    assert isinstance(exchange(Sasl("SCRAM-SHA-512", "a", "b")), Scram)
    assert isinstance(exchange(Sasl("OAUTHBEARER", token=str), "t"), Bearer)


def test_tls_takes_what_it_can_use(tmp_path: Any) -> None:
    assert tls_context(None) is tls_context(False) is None
    context = tls_context(True)
    assert context is not None
    assert context.check_hostname
    assert tls_context(context) is context
    with pytest.raises(Invalid, match="use True"):
        tls_context("yes")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="key without a certificate"):
        Tls(key="k").context()
    (tmp_path / "bad.pem").write_text("not a certificate")
    for tls in (Tls(ca=tmp_path / "bad.pem"), Tls(ca=tmp_path / "none")):
        with pytest.raises(Invalid, match="authorities"):
            tls.context()
    with pytest.raises(Invalid, match="and its key cannot be used"):
        Tls(certificate=tmp_path / "bad.pem").context()
