"""How commands log in: what flags, environment and the file of settings say, and what they lack.

That a login works is shown against Apache Kafka, in ``interop/client/test_security.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstem.testing import RunningBroker

Cli = Any


def settings(tmp_path: Path, text: str) -> str:
    path = tmp_path / "client.toml"
    path.write_text(text)
    return str(path)


def test_the_file_has_the_brokers_unless_a_flag_does(
    cli: Cli, tmp_path: Path, mainstem_session_broker: RunningBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MAINSTEM_BROKERS")
    good = settings(tmp_path, f'brokers = "{mainstem_session_broker.address}"')
    assert cli("topic", "list", "--client-config", good).code == 0
    assert cli("group", "list", "--client-config", good).code == 0
    bad = settings(tmp_path, 'brokers = "no address"')
    assert cli("topic", "list", "--client-config", bad).code == 1
    address = ("--brokers", mainstem_session_broker.address)
    assert cli("topic", "list", "--client-config", bad, *address).code == 0
    monkeypatch.setenv("MAINSTEM_CLIENT_CONFIG", good)
    settings(tmp_path, f'brokers = "{mainstem_session_broker.address}"')
    assert cli("topic", "list").code == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('broker = "x"', "did you mean brokers?"),
        ('[sasl]\nuser = "x"', "did you mean sasl.username?"),
        ("[tls]\ncheck_hostname = 1", "tls.check_hostname must be bool"),
        ('tls = "yes"', "tls must be"),
        ("[brokers]\n", "brokers must be"),
        ("[registry]\nurl = 5", "registry.url must be str"),
        ("this is not TOML", "cannot be read"),
    ],
)
def test_settings_that_do_not_exist_are_wrong_usage(
    cli: Cli, tmp_path: Path, text: str, reason: str
) -> None:
    found = cli("topic", "list", "--client-config", settings(tmp_path, text))
    assert found.code == 2
    assert reason in found.err


def test_a_password_of_the_wrong_type_is_not_shown(cli: Cli, tmp_path: Path) -> None:
    path = settings(tmp_path, '[sasl]\nusername = "a"\npassword = 123456')
    found = cli("topic", "list", "--client-config", path)
    assert found.code == 2
    assert "123456" not in found.err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--username", "alice"), 2, "no password for 'alice': set $MAINSTEM_PASSWORD"),
        (("--sasl-mechanism", "PLAIN"), 2, "PLAIN needs --username"),
        (("--sasl-mechanism", "OAUTHBEARER"), 2, "OAUTHBEARER needs --token-file"),
        (("--username", "alice", "--password-file", "/nowhere"), 2, "/nowhere cannot be read"),
        (("--client-config", "/nowhere"), 2, "/nowhere cannot be read"),
        (("--tls-ca", "/nowhere"), 1, "the authorities in /nowhere cannot be used"),
    ],
)
def test_what_is_missing_is_told(
    cli: Cli, arguments: tuple[str, ...], code: int, reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MAINSTEM_PASSWORD", raising=False)
    found = cli("topic", "list", *arguments)
    assert (found.code, reason in found.err) == (code, True), found.err
    assert found.err.count("\n") == 1


def test_a_mechanism_that_does_not_exist_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_PASSWORD", "geheim")
    found = cli("topic", "list", "--username", "a", "--sasl-mechanism", "GSSAPI")
    assert found.code == 1
    assert "SCRAM-SHA-512" in found.err
    assert "geheim" not in found.err


def test_there_is_no_password_on_the_command_line(cli: Cli) -> None:
    assert cli("topic", "list", "--password", "x").code == 2
    text = cli("topic", "list", "--help").out
    assert "--password-file" in text
    assert "--tls-ca" in text
