"""TLS and SASL against Apache Kafka with SSL, SASL_SSL and SASL_PLAINTEXT listeners."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop.kafka import Kafka
from interop.secure import PASSWORD, REAUTHENTICATE_MS, Certificates, start_secure_kafka

import mainstem as ms

Secure = tuple[Kafka, Certificates]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    kafka, certificates = start_secure_kafka(tmp_path_factory.mktemp("secure"))
    yield kafka, certificates
    kafka.stop()


@pytest.fixture(scope="module", autouse=True)
def root(secure: Secure) -> Iterator[ms.Stem]:
    """Without security, as the super user; SCRAM users are made here."""
    with ms.connect(secure[0].address) as stem:
        for name in ("root", "alice", "with,comma=sign"):
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                stem.access.set_password(name, PASSWORD, mechanism=mechanism)
        stem.create_topic("t", 2)
        while len(stem.access.users()) < 3:  # the broker hears of them a moment later
            time.sleep(0.02)
        yield stem


def token(subject: str, seconds: float = 300) -> str:
    """An unsecured JSON web token, which Kafka's default validator takes."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": subject, "iat": now - 1, "exp": now + seconds})
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*texts, b""]).decode()


def round_trip(stem: ms.Stem, text: str) -> None:
    topic = stem.topic("t")
    topic.append([text])
    values = [v for batch in topic.read() for v in batch.column("value").to_pylist()]
    assert text.encode() in values


LOGINS = {
    "plain": ms.Sasl("PLAIN", "root", PASSWORD),
    "scram-256": ms.Sasl("SCRAM-SHA-256", "root", PASSWORD),
    "scram-512": ms.Sasl("SCRAM-SHA-512", "root", PASSWORD),
    "bearer": ms.Sasl("OAUTHBEARER", token=lambda: token("root")),
}


@pytest.mark.parametrize("listener", ["SASL_SSL", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("login", LOGINS)
def test_every_mechanism_reads_and_writes(secure: Secure, listener: str, login: str) -> None:
    kafka, certificates = secure
    tls = ms.Tls(ca=certificates.authority) if listener == "SASL_SSL" else None
    with ms.connect(kafka.listeners[listener], security=LOGINS[login], tls=tls) as stem:
        round_trip(stem, f"{listener} {login}")


def test_a_token_may_come_from_a_coroutine(secure: Secure) -> None:
    async def fetch() -> str:
        await asyncio.sleep(0)
        return token("root")

    security = ms.Sasl("OAUTHBEARER", token=fetch)
    with ms.connect(secure[0].listeners["SASL_PLAINTEXT"], security=security) as stem:
        assert "t" in stem.topics()


def test_a_name_with_comma_and_equals_sign_logs_in(secure: Secure) -> None:
    security = ms.Sasl("SCRAM-SHA-512", "with,comma=sign", PASSWORD)
    with ms.connect(secure[0].listeners["SASL_PLAINTEXT"], security=security) as stem:
        assert stem.topics() == []  # it may see none


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_is_denied_at_once(secure: Secure, mechanism: Any) -> None:
    security = ms.Sasl(mechanism, "root", "wrong")
    started = time.monotonic()
    with pytest.raises(ms.Denied, match=f"as 'root' by {mechanism}: the user or password") as found:
        ms.connect(secure[0].listeners["SASL_PLAINTEXT"], security=security)
    assert found.value.code == 58
    assert time.monotonic() - started < 5
    assert "wrong" not in str(found.value).replace("password is wrong", "")


def test_an_expired_token_is_denied(secure: Secure) -> None:
    security = ms.Sasl("OAUTHBEARER", token=lambda: token("root", -100))
    with pytest.raises(ms.Denied, match="with a token by OAUTHBEARER"):
        ms.connect(secure[0].listeners["SASL_PLAINTEXT"], security=security)


def test_an_unknown_authority_is_denied(secure: Secure) -> None:
    with pytest.raises(ms.Denied, match=r"is not trusted.*tls=Tls"):
        ms.connect(secure[0].listeners["SASL_SSL"], security=LOGINS["plain"], tls=True)


def test_another_host_name_is_denied(secure: Secure) -> None:
    port = secure[0].listeners["SASL_SSL"].rpartition(":")[2]
    tls = ms.Tls(ca=secure[1].authority)
    with pytest.raises(ms.Denied, match="Hostname mismatch"):
        ms.connect(f"localhost:{port}", security=LOGINS["plain"], tls=tls)
    blind = ms.Tls(ca=secure[1].authority, check_hostname=False)
    with ms.connect(f"localhost:{port}", security=LOGINS["plain"], tls=blind) as stem:
        assert "t" in stem.topics()


def test_a_client_certificate_is_shown_where_one_is_wanted(secure: Secure, root: ms.Stem) -> None:
    kafka, files = secure
    principal = "User:"  # named by the certificate, which our authority writes
    root.access.create_acls([ms.Acl("topic", "*", f"{principal}*", "describe")])
    tls = ms.Tls(ca=files.authority, certificate=files.client)
    with ms.connect(kafka.listeners["SSL"], tls=tls) as stem:
        assert "t" in stem.topics()
    root.access.delete_acls(principal=f"{principal}*")
    with pytest.raises((ms.Denied, ms.Unavailable)):
        ms.connect(kafka.listeners["SSL"], tls=ms.Tls(ca=files.authority), connect_timeout=2.0)


def test_a_listener_without_tls_is_told_apart(secure: Secure) -> None:
    with pytest.raises(ms.MainstemError, match="TLS"):
        ms.connect(secure[0].address, tls=True, connect_timeout=20.0)


def test_a_listener_without_logins_says_so(secure: Secure) -> None:
    with pytest.raises(ms.Invalid, match="does this listener take logins"):
        ms.connect(secure[0].address, security=LOGINS["plain"])


def test_a_login_that_is_missing_is_hinted_at(secure: Secure) -> None:
    with pytest.raises(ms.Unavailable, match="login"):
        ms.connect(secure[0].listeners["SASL_PLAINTEXT"], connect_timeout=20.0)


def test_sessions_are_renewed_while_records_flow(secure: Secure) -> None:
    """The broker drops a connection whose session ended; all appends use the first one."""
    address = secure[0].listeners["SASL_PLAINTEXT"]
    with ms.connect(address, security=LOGINS["scram-256"]) as stem:
        topic = stem.topic("t")
        before = {key: value.result() for key, value in stem._stem.cluster._open.items()}
        until = time.monotonic() + 2.5 * REAUTHENTICATE_MS / 1000
        sent = 0
        while time.monotonic() < until:
            topic.append([str(sent)], partition=0)
            sent += 1
        after = {key: value.result() for key, value in stem._stem.cluster._open.items()}
    assert sent > 100
    assert all(after[key] is connection for key, connection in before.items())


def test_what_may_not_be_done_is_denied(secure: Secure, root: ms.Stem) -> None:
    security = ms.Sasl("SCRAM-SHA-512", "alice", PASSWORD)
    with ms.connect(secure[0].listeners["SASL_PLAINTEXT"], security=security) as stem:
        with pytest.raises(ms.MainstemError):
            stem.topic("t")
        rule = ms.Acl("topic", "t", "User:alice", "write")
        root.access.create_acls([rule])
        assert stem.topic("t").append(["from alice"]).rows == 1
        with pytest.raises(ms.Denied, match="not allowed on this topic"):
            list(stem.topic("t").read())
        with pytest.raises(ms.Denied):
            stem.access.acls()
        assert root.access.delete_acls(principal="User:alice") == [rule]
        looking = ms.Acl("topic", "t", "User:alice", "describe")
        root.access.create_acls([looking])
        before = root.topic("t").offsets()
        with pytest.raises(ms.Denied, match=r"append to topic 't'.*\[rows 0 to 2 failed; 0 rows"):
            stem.topic("t").append(["a", "b", "c"], partition=0)
        assert root.topic("t").offsets() == before
        assert root.access.delete_acls(principal="User:alice") == [looking]


def test_the_example_runs(secure: Secure) -> None:
    """It is what the guide shows."""
    kafka, files = secure
    example = Path(__file__).parents[2] / "examples" / "secure.py"
    arguments = (kafka.listeners["SASL_SSL"], str(files.authority), "root")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), *arguments],
        env={**os.environ, "PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("root sees ")


# --- the command line ----------------------------------------------------------------------------


def command(*arguments: str, secrets: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **secrets}
    return subprocess.run(
        [sys.executable, "-m", "mainstem", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_command_line_logs_in_by_flags(secure: Secure) -> None:
    kafka, files = secure
    arguments = ("--brokers", kafka.listeners["SASL_SSL"], "--tls-ca", str(files.authority),
                 "--username", "root")  # fmt: skip
    done = command("topic", "list", "--json", *arguments, secrets={"MAINSTEM_PASSWORD": PASSWORD})
    assert (done.returncode, done.stderr) == (0, "")
    assert '"topic": "t"' in done.stdout
    done = command("topic", "list", *arguments, secrets={"MAINSTEM_PASSWORD": "wrong"})
    assert done.returncode == 1
    assert "as 'root' by SCRAM-SHA-512: the user or password" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_line_logs_in_by_a_file(secure: Secure, tmp_path: Path) -> None:
    kafka, files = secure
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "token").write_text(token("root"))
    for sasl in (
        f'mechanism = "plain"\nusername = "root"\npassword_file = "{tmp_path}/password"',
        f'token_file = "{tmp_path}/token"',
    ):
        path = tmp_path / "client.toml"
        path.write_text(
            f'brokers = "{kafka.listeners["SASL_SSL"]}"\n'
            f'[tls]\nca = "{files.authority}"\n[sasl]\n{sasl}\n'
        )
        done = command("topic", "list", "--client-config", str(path), secrets={})
        assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line_says_that_a_login_is_wanted(secure: Secure) -> None:
    kafka, _ = secure
    done = command("topic", "list", "--brokers", kafka.listeners["SASL_PLAINTEXT"], secrets={})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
