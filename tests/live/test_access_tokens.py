"""Which tokens are believed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from access_kit import NOW, SECRET, bearer, ec_key, make, pem, rsa_key, sign_in, token

from mainstem.errors import Denied, Invalid
from mainstem.live.access import Access, AccessDenied, Source

OPEN = {"namespaces": {"comments": {"user": ["subscribe"]}}}


def refused(access: Access, text: str) -> str:
    """The reason ``text`` is refused for."""
    with pytest.raises(AccessDenied) as caught:
        sign_in(access, bearer(text))
    assert caught.value.status == 401
    return caught.value.reason


def unsigned(header: object, body: object, signature: bytes = b"") -> str:
    def part(value: object) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    return f"{part(header)}.{part(body)}.{part(signature)}"


def hs256(header: object, body: object, key: bytes) -> str:
    """Signed by hand, so that a library cannot refuse to make it."""
    text = unsigned(header, body).rpartition(".")[0]
    digest = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.fixture
def rs256(tmp_path: Path) -> Path:
    file = tmp_path / "public.pem"
    file.write_bytes(pem(rsa_key()))
    return file


def test_a_token_says_who_holds_it_and_until_when() -> None:
    access, _ = make(**OPEN)
    identity = sign_in(access, bearer(token(jti="t-1", iat=NOW, team="red")))
    assert (identity.user, identity.token_id, identity.issued_at) == ("ann", "t-1", NOW)
    assert identity.expires_at == NOW + 60 + 10  # with the leeway it was accepted with
    assert identity.claims["team"] == "red"
    assert identity.source is Source.BEARER


def test_rs256_with_a_public_key_file(rs256: Path) -> None:
    access, _ = make(tokens={"public_key_file": str(rs256)}, **OPEN)
    text = token(key=rsa_key(), algorithm="RS256")
    assert sign_in(access, bearer(text)).user == "ann"


def test_es256_with_a_public_key_file(tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_bytes(pem(ec_key()))
    access, _ = make(tokens={"public_key_file": str(tmp_path / "public.pem")}, **OPEN)
    assert sign_in(access, bearer(token(key=ec_key(), algorithm="ES256"))).user == "ann"


def test_a_secret_and_a_public_key_serve_side_by_side(rs256: Path) -> None:
    access, _ = make(tokens={"secret": SECRET, "public_key_file": str(rs256)}, **OPEN)
    assert sign_in(access, bearer(token())).user == "ann"
    assert sign_in(access, bearer(token(key=rsa_key(), algorithm="RS256"))).user == "ann"


def test_a_secret_from_a_file_loses_the_line_feed_editors_add(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    access, _ = make(tokens={"secret_file": str(tmp_path / "secret")}, **OPEN)
    assert sign_in(access, bearer(token())).user == "ann"


def test_a_token_signed_with_the_public_key_as_secret_is_refused(rs256: Path) -> None:
    # Algorithm confusion: the public key is no secret.
    access, _ = make(tokens={"public_key_file": str(rs256)}, **OPEN)
    forged = hs256({"alg": "HS256"}, {"sub": "eve", "exp": NOW + 60}, pem(rsa_key()))
    assert refused(access, forged) == "signature"


def test_confusion_is_refused_beside_a_secret_too(rs256: Path) -> None:
    access, _ = make(tokens={"secret": SECRET, "public_key_file": str(rs256)}, **OPEN)
    forged = hs256({"alg": "HS256"}, {"sub": "eve", "exp": NOW + 60}, pem(rsa_key()))
    assert refused(access, forged) == "signature"


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", None, 1, "HS512", "PS256"])
def test_other_algorithms_are_refused(algorithm: Any) -> None:
    access, _ = make(**OPEN)
    body = {"sub": "eve", "exp": NOW + 60}
    assert refused(access, unsigned({"alg": algorithm}, body)) in {"algorithm", "token"}


def test_a_header_without_an_algorithm_is_refused() -> None:
    access, _ = make(**OPEN)
    assert refused(access, hs256({}, {"sub": "eve", "exp": NOW + 60}, SECRET.encode())) in {
        "algorithm",
        "token",
    }


def test_a_key_that_the_token_brings_itself_is_not_used() -> None:
    # RFC 8725 section 3.10: `jwk`, `jku` and `x5u` are the attacker's.
    access, _ = make(**OPEN)
    key = base64.urlsafe_b64encode(b"k" * 32).decode()
    header = {"alg": "HS256", "jwk": {"kty": "oct", "k": key}, "jku": "http://127.0.0.1:1/"}
    assert refused(access, hs256(header, {"sub": "eve", "exp": NOW + 60}, b"k" * 32)) == "signature"


def test_another_secret_is_refused() -> None:
    access, _ = make(**OPEN)
    assert refused(access, token(key="x" * 40)) == "signature"


def test_a_changed_body_is_refused() -> None:
    access, _ = make(**OPEN)
    head, _, signature = token().split(".")
    other = unsigned({}, {"sub": "eve", "exp": NOW + 60}).split(".")[1]
    assert refused(access, f"{head}.{other}.{signature}") == "signature"


def test_an_expired_token_is_refused_after_the_leeway_only() -> None:
    access, clock = make(**OPEN)
    text = token()
    clock.advance(69.9)
    assert sign_in(access, bearer(text)).user == "ann"
    clock.advance(0.1)
    assert refused(access, text) == "expired"


def test_a_token_of_the_future_is_refused_before_the_leeway() -> None:
    access, clock = make(**OPEN)
    text = token(nbf=NOW + 30)
    clock.advance(19.9)
    assert refused(access, text) == "nbf"
    clock.advance(0.1)
    assert sign_in(access, bearer(text)).user == "ann"


def test_a_token_issued_in_the_future_is_refused() -> None:
    access, _ = make(**OPEN)
    assert refused(access, token(iat=NOW + 11)) == "nbf"


def test_a_token_that_never_expires_is_refused_unless_allowed() -> None:
    access, _ = make(**OPEN)
    assert refused(access, token(exp=None)) == "exp"
    access, _ = make(tokens={"secret": SECRET, "require_expiry": False}, **OPEN)
    assert sign_in(access, bearer(token(exp=None))).expires_at is None


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1800000000", True, [], {}, 10**400])
def test_a_time_that_is_no_number_is_refused(name: str, value: Any) -> None:
    access, _ = make(**OPEN)
    forged = {"sub": "ann", "exp": NOW + 60, name: value}
    assert refused(access, hs256({"alg": "HS256"}, forged, SECRET.encode())) in {name, "token"}


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999", "-Infinity"])
def test_a_time_without_end_is_refused(number: str) -> None:
    access, _ = make(**OPEN)
    body = f'{{"sub": "ann", "exp": {number}}}'.encode()
    reason = refused(access, hs256({"alg": "HS256"}, body, SECRET.encode()))
    assert reason in {"exp", "token"}


def test_the_audience_must_be_ours() -> None:
    access, _ = make(tokens={"secret": SECRET, "audience": ["live"]}, **OPEN)
    assert sign_in(access, bearer(token(aud="live"))).user == "ann"
    assert sign_in(access, bearer(token(aud=["other", "live"]))).user == "ann"
    assert refused(access, token(aud="other")) == "audience"
    assert refused(access, token()) == "aud"


def test_a_token_for_another_audience_is_refused_where_none_is_configured() -> None:
    access, _ = make(**OPEN)
    assert refused(access, token(aud="billing")) == "audience"


def test_the_issuer_must_be_known() -> None:
    access, _ = make(tokens={"secret": SECRET, "issuer": ["https://a.example"]}, **OPEN)
    assert sign_in(access, bearer(token(iss="https://a.example"))).user == "ann"
    assert refused(access, token(iss="https://b.example")) == "issuer"
    assert refused(access, token()) == "iss"


def test_demanded_extensions_are_refused() -> None:
    access, _ = make(**OPEN)
    body = {"sub": "ann", "exp": NOW + 60}
    for header in ({"alg": "HS256", "crit": ["b64"], "b64": False}, {"alg": "HS256", "crit": []}):
        assert refused(access, hs256(header, body, SECRET.encode())) == "token"
    assert refused(access, hs256({"alg": "HS256", "b64": False}, body, SECRET.encode())) == "token"


@pytest.mark.parametrize("user", [None, "", 7, ["ann"], "a" * 257, "ann\n", "a\x00"])
def test_a_user_must_be_a_name(user: Any) -> None:
    access, _ = make(**OPEN)
    forged = {"exp": NOW + 60} if user is None else {"exp": NOW + 60, "sub": user}
    assert refused(access, hs256({"alg": "HS256"}, forged, SECRET.encode())) == "user"


@pytest.mark.parametrize("token_id", ["", 7, "a" * 257, "a\nb"])
def test_a_token_id_must_be_a_name(token_id: Any) -> None:
    access, _ = make(**OPEN)
    forged = {"sub": "ann", "exp": NOW + 60, "jti": token_id}
    assert refused(access, hs256({"alg": "HS256"}, forged, SECRET.encode())) == "jti"


def test_another_claim_can_be_the_user() -> None:
    access, _ = make(tokens={"secret": SECRET, "user_claim": "email"}, **OPEN)
    assert sign_in(access, bearer(token(sub=None, email="a@b.example"))).user == "a@b.example"
    assert refused(access, token()) == "user"


DEEP = b"[" * 3000 + b"]" * 3000


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800.a.b",
        " ",
        "=.=.=",
        unsigned(DEEP, {}),
        unsigned({"alg": "HS256"}, DEEP),
        unsigned(b'{"alg": "HS256", "kid": ' + b"9" * 5000 + b"}", {}),
        unsigned([], {}),
        unsigned("HS256", {}),
        unsigned({"alg": "HS256", "kid": 7}, {}),
        unsigned({"alg": "HS256", "kid": "../../etc/passwd\x00"}, {}),
        unsigned({"alg": "HS256", "kid": "k" * 300}, {}),
    ],
    ids=range(18),
)
def test_what_is_no_token_is_refused_quietly(text: str) -> None:
    access, _ = make(**OPEN)
    with pytest.raises(AccessDenied):
        asyncio.run(access.authenticate_token(text, bearer("unused")))


@pytest.mark.parametrize("body", [DEEP, b"[]", b'"ann"', b"{", b"\xff\xfe", b"1" * 5000, b""])
def test_a_signed_body_that_is_no_object_is_refused(body: bytes) -> None:
    access, _ = make(**OPEN)
    assert refused(access, hs256({"alg": "HS256"}, body, SECRET.encode())) == "token"


def test_a_long_token_is_refused_before_it_is_read() -> None:
    access, _ = make(**OPEN)
    assert refused(access, token(padding="x" * 8192)) == "token"


def test_no_token_is_believed_where_none_is_configured() -> None:
    access, _ = make(tokens={}, **OPEN)
    assert refused(access, token()) == "token"


def test_a_refusal_is_a_sentence_with_a_code() -> None:
    access, _ = make(**OPEN)
    with pytest.raises(Denied) as caught:
        sign_in(access, bearer("x"))
    assert isinstance(caught.value, AccessDenied)
    body = json.loads(caught.value.body())
    assert body == {"error": "that is no JSON Web Token in compact form", "code": "token"}


def test_files_without_a_fit_key_are_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "weak.pem").write_bytes(pem(rsa_key("weak", 1024)))
    (tmp_path / "no.pem").write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
    (tmp_path / "short").write_bytes(b"x" * 31)
    for tokens in (
        {"public_key_file": str(tmp_path / "weak.pem")},
        {"public_key_file": str(tmp_path / "no.pem")},
        {"public_key_file": str(tmp_path / "missing.pem")},
        {"secret_file": str(tmp_path / "short")},
    ):
        with pytest.raises(Invalid):
            make(tokens=tokens)


def test_the_library_still_refuses_what_we_rely_on() -> None:
    # Should PyJWT ever take a key for an algorithm it is not for, Key.algorithm is all we have.
    with pytest.raises(jwt.PyJWTError):
        jwt.decode(token(), SECRET, algorithms=["RS256"])


def test_a_token_that_calls_itself_a_ticket_is_refused() -> None:
    access, _ = make(**OPEN)
    assert refused(access, token(headers={"typ": "mainstem-live-ticket+jwt"})) == "token"
