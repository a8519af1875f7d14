"""The gateway's settings: three sources, types, and what is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import Invalid
from mainstem.live.channels import parse_channel
from mainstem.live.role import access_settings, read_pages
from mainstem.live.settings import OUT_OF_THE_BOX, Namespace, from_table, gather

CHAT = {"namespaces.chat.kind": "events"}


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('listen = "127.0.0.1:1"\nworkers = 3\nwindow_ms = 20\n')
    environment = {"MAINSTEM_LIVE_WORKERS": "4", "MAINSTEM_LIVE_LISTEN": "127.0.0.1:2"}
    found = gather(file, environment, {"listen": "127.0.0.1:3", "http": None})
    assert (found.listen, found.workers, found.window_ms) == ("127.0.0.1:3", 4, 20.0)


def test_tables_of_a_file_and_dotted_flags_meet(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('[namespaces.chat]\nkind = "events"\ntopic = "t"\n')
    found = gather(
        file, {}, {"namespaces.chat.partitions": "3", "namespaces.goals.kind": "counter"}
    )
    assert found.namespaces == {
        "chat": Namespace(kind="events", topic="t", partitions=3),
        "goals": Namespace(kind="counter"),
    }


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"lissten": 1}, "did you mean 'listen'?"),
        ({"namespaces.chat.knd": "events"}, "did you mean 'namespaces.chat.kind'?"),
        ({"namespaces.chat.kind": "event"}, "Invalid enum value 'event'"),
        ({"namespaces": {"chat": 1}}, "must be a table"),
        ({"namespaces": 1}, "must be a table"),
        ({"listen": "x", "listen.port": 1}, "not a table"),
        ({"namespaces.viewers.kind": "events"}, "built in"),
        ({"namespaces.Chat.kind": "events"}, "is no namespace"),
        ({"namespaces.chat.kind": "events", "namespaces.chat.window_ms": 1}, "10 to 60000"),
        ({"namespaces.chat.kind": "sample", "namespaces.chat.top": 0}, "1 to 100"),
        ({"workers": 65}, "1 to 64"),
        ({"name": "a/b"}, "A-Z a-z"),
        ({"cursor_key": "short"}, "16 characters"),
        ({"logging": "loud"}, "choose one of"),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(table: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_table(table, "the settings")
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["= 1", 'listen = "\\ud800"', "listen = \xff"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "live.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(Invalid, match="TOML"):
        gather(file, {}, {})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        gather(tmp_path / "none.toml", {}, {})


def test_what_kubernetes_puts_into_the_environment_is_no_setting() -> None:
    environment = {
        "MAINSTEM_LIVE_SERVICE_HOST": "10.0.0.1",
        "MAINSTEM_LIVE_SERVICE_PORT_HTTP": "80",
        "MAINSTEM_LIVE_PORT": "tcp://10.0.0.1:80",
        "MAINSTEM_LIVE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert gather(None, environment, {}) == from_table({}, "nothing")


def test_off_loopback_nothing_is_open_by_itself() -> None:
    assert from_table({}, "nothing").served(on_loopback=True) == dict(OUT_OF_THE_BOX)
    assert from_table({}, "nothing").served(on_loopback=False) == {}
    assert list(from_table(CHAT, "flags").served(on_loopback=True)) == ["chat"]


def test_on_loopback_configured_namespaces_are_open_unless_access_says_more() -> None:
    settings = from_table(CHAT, "flags")
    namespaces = settings.served(on_loopback=True)
    assert b'"chat"' in access_settings(settings, namespaces, loopback=True)
    assert b'"chat"' not in access_settings(settings, namespaces, loopback=False)
    closed = from_table({**CHAT, "access.namespaces.other.user": ["subscribe"]}, "flags")
    assert b'"chat"' not in access_settings(closed, namespaces, loopback=True)


@pytest.mark.parametrize(
    "text",
    ["", ":", "a", "a:", ":1", "A:1", "a b:1", "a:1 2", "a:\n", "a:" + "x" * 201, "a:\ud800"],
)
def test_what_is_no_channel(text: str) -> None:
    with pytest.raises(Invalid, match=r"channel|namespace"):
        parse_channel(text)


@pytest.mark.parametrize(
    "text", ["a:1", "user:ann@example.org", "a:b:c", "a:é", "a-b_1:" + "x" * 200]
)
def test_what_is_a_channel(text: str) -> None:
    assert str(parse_channel(text)) == text


def test_pages_are_served_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text("<p>hi")
    (tmp_path / "sub" / "a.js").write_text("1")
    pages = read_pages(str(tmp_path))
    assert pages["/"] == pages["/index.html"] == ("text/html; charset=utf-8", b"<p>hi")
    assert pages["/sub/a.js"][1] == b"1"
    assert read_pages("") == {}
    with pytest.raises(Invalid, match="must be a directory"):
        read_pages(str(tmp_path / "none"))
