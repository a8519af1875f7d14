"""Chromium's own EventSource, and our client with what only a browser has: locks and tabs."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from interop.live.gateways import Gateway

ROOT = Path(__file__).parents[2]
EMPTY = "<!doctype html><title>empty</title>"
LISTEN = """([url, types]) => {
  window.heard = [];
  window.source = new EventSource(url);
  source.onopen = () => heard.push({type: "open"});
  source.onerror = () => heard.push({type: "error", closed: source.readyState === 2});
  for (const type of types)
    source.addEventListener(type, ({data, lastEventId: id}) => heard.push({type, data, id}));
}"""
TYPES = ["message", "resumed", "reset", "drain"]
OPEN = """async ([channel, options]) => {
  const { live } = await import("./mainstem-live.js");
  window.states = [];
  window.resets = [];
  window.heard = [];
  window.stream = live("/live", {
    ...options,
    onState: (state) => states.push(state),
    onReset: (reset) => resets.push(reset),
  });
  window.off = stream.subscribe(channel, (event) => heard.push(event));
}"""


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the gateway serves beside its streams: an empty page, and the client."""
    directory = tmp_path_factory.mktemp("pages")
    directory.joinpath("index.html").write_text(EMPTY)
    shutil.copy(ROOT / "clients/javascript/dist/mainstem-live.js", directory)
    return directory


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, pages: Path) -> Iterator[Gateway]:
    """One worker, so that its statistics are everybody's."""
    with Gateway(tmp_path_factory.mktemp("live"), serving(pages)) as gateway:
        yield gateway


@pytest.fixture
def site(lasting: Gateway) -> Gateway:
    """The gateway of all tests that leave it alone, without a viewer."""
    until(lambda: connections(lasting) == 0)
    return lasting


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory, pages: Path) -> Iterator[Gateway]:
    """A gateway to be killed."""
    with Gateway(tmp_path_factory.mktemp("live"), serving(pages)) as gateway:
        yield gateway


def serving(pages: Path) -> tuple[str, ...]:
    return ("--set", f"pages={pages}", "--workers", "1")


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context()
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, site: Gateway) -> Callable[[], Page]:
    """Opens a page on the gateway."""
    return lambda: visit(context, site)


def visit(context: BrowserContext, gateway: Gateway) -> Page:
    page = context.new_page()
    page.goto(f"http://{gateway.address}/")
    return page


def connections(gateway: Gateway) -> int:
    """Viewers of comments, as the gateway counts them."""
    with urlopen(f"{gateway.url}/stats", timeout=20) as answer:
        namespaces = json.load(answer)["namespaces"]
    return int(namespaces.get("comments", {}).get("connections", 0))


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for what no event tells of."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for(page: Page, count: int) -> list[Any]:
    """The data of all events, once there are so many."""
    page.wait_for_function("count => heard.length >= count", arg=count, timeout=60_000)
    heard: list[dict[str, Any]] = page.evaluate("heard")
    return [event["data"] for event in heard]


def numbers(first: int, last: int) -> list[Any]:
    return list(range(first, last))


def test_chromiums_eventsource_hears_what_was_written(
    site: Gateway, tab: Callable[[], Page], channel: str
) -> None:
    values = ["é 漢字 🛫", "two\nlines", "data: x\n\nid: 9\n\n", {"a": None}, "x" * 50_000]
    site.append(channel, values)
    page = tab()
    page.evaluate(LISTEN, [f"{site.url}?channel={channel}&from=earliest", TYPES])
    page.wait_for_function("heard.filter(each => each.type === 'message').length >= 5")
    heard = page.evaluate("heard")
    assert [each["type"] for each in heard[:2]] == ["open", "resumed"]
    events = [each for each in heard if each["type"] == "message"]
    assert [json.loads(each["data"])["data"] for each in events] == values
    assert len({each["id"] for each in events}) == len(values)


def test_chromiums_eventsource_resumes_after_the_gateway_was_killed(
    mortal: Gateway, context: BrowserContext, channel: str
) -> None:
    mortal.append(channel, numbers(0, 50))
    page = visit(context, mortal)
    page.evaluate(LISTEN, [f"{mortal.url}?channel={channel}&from=earliest", TYPES])
    page.wait_for_function("heard.filter(each => each.type === 'message').length >= 50")
    mortal.kill()
    mortal.append(channel, numbers(50, 100))
    mortal.start()
    page.wait_for_function("heard.filter(each => each.type === 'open').length >= 2", timeout=60_000)
    mortal.append(channel, numbers(100, 120))
    page.wait_for_function("heard.filter(each => each.type === 'message').length >= 120")
    heard = page.evaluate("heard")
    data = [json.loads(each["data"])["data"] for each in heard if each["type"] == "message"]
    assert data == numbers(0, 120)
    assert [each["type"] for each in heard if each["type"] in {"resumed", "reset"}] == [
        "resumed",
        "resumed",
    ]


def test_chromiums_eventsource_is_refused_for_good(site: Gateway, tab: Callable[[], Page]) -> None:
    page = tab()
    page.evaluate(LISTEN, [f"{site.url}?channel=unheard:1", TYPES])
    page.wait_for_function("heard.length >= 1")
    assert page.evaluate("heard") == [{"type": "error", "closed": True}]


@pytest.mark.parametrize("transport", ["fetch", "eventsource"])
def test_our_client_resumes_after_the_gateway_was_killed(
    mortal: Gateway, context: BrowserContext, channel: str, transport: str
) -> None:
    mortal.append(channel, numbers(0, 50))
    page = visit(context, mortal)
    page.evaluate(OPEN, [channel, {"from": "earliest", "transport": transport}])
    wait_for(page, 50)
    mortal.kill()
    mortal.append(channel, numbers(50, 100))
    mortal.start()
    assert wait_for(page, 100) == numbers(0, 100)
    assert page.evaluate("resets") == []


def test_tabs_share_one_connection(site: Gateway, tab: Callable[[], Page], channel: str) -> None:
    site.append(channel, numbers(0, 20))
    first, second, third = tab(), tab(), tab()
    first.evaluate(OPEN, [channel, {"from": "earliest"}])
    wait_for(first, 20)
    for other in (second, third):
        other.evaluate(OPEN, [channel, {"from": "earliest"}])
        assert wait_for(other, 20) == numbers(0, 20), "what came before is told from memory"
    site.append(channel, numbers(20, 40))
    for page in (first, second, third):
        assert wait_for(page, 40) == numbers(0, 40)
    assert connections(site) == 1


def test_when_the_leading_tab_goes_the_next_goes_on_without_a_gap(
    site: Gateway, tab: Callable[[], Page], channel: str
) -> None:
    tabs = [tab(), tab(), tab()]
    for page in tabs:
        page.evaluate(OPEN, [channel, {"from": "earliest"}])
        page.wait_for_function("states.includes('open')", timeout=30_000)
    written = 0
    while tabs:
        site.append(channel, numbers(written, written + 20))
        for page in tabs:
            wait_for(page, written + 20)
        written += 20
        tabs.pop(0).close(run_before_unload=False)
        site.append(channel, numbers(written, written + 20))  # while nobody leads
        written += 20
        for page in tabs:
            assert wait_for(page, written) == numbers(0, written)
        if tabs:
            until(lambda: connections(site) == 1)
    until(lambda: connections(site) == 0)


def test_a_tab_whose_past_the_leader_does_not_know_has_its_own_connection(
    site: Gateway, tab: Callable[[], Page], channel: str
) -> None:
    site.append(channel, numbers(0, 20))
    first, second = tab(), tab()
    first.evaluate(OPEN, [channel, {"from": "latest"}])
    first.wait_for_function("states.includes('open')")
    second.evaluate(OPEN, [channel, {"from": "last:5"}])
    assert wait_for(second, 5) == numbers(15, 20)
    site.append(channel, numbers(20, 25))
    assert wait_for(second, 10) == numbers(15, 25)
    assert wait_for(first, 5) == numbers(20, 25)
    assert connections(site) == 2


@pytest.mark.parametrize("leader", [True, False])
def test_a_reloaded_tab_goes_on_at_its_cursor(
    site: Gateway, tab: Callable[[], Page], channel: str, leader: bool
) -> None:
    first, second = tab(), tab()
    for page in (first, second):
        page.evaluate(OPEN, [channel, {"from": "earliest"}])
        page.wait_for_function("states.includes('open')", timeout=30_000)
    site.append(channel, numbers(0, 10))
    wait_for(first, 10)
    wait_for(second, 10)
    page, other = (first, second) if leader else (second, first)
    cursor = page.evaluate("stream.cursor")
    page.reload()
    site.append(channel, numbers(10, 20))
    page.evaluate(OPEN, [channel, {"from": "earliest", "cursor": cursor}])
    assert wait_for(page, 10) == numbers(10, 20)
    assert wait_for(other, 20) == numbers(0, 20)
    site.append(channel, numbers(20, 30))
    assert wait_for(page, 20) == numbers(10, 30)
    assert wait_for(other, 30) == numbers(0, 30)
    assert connections(site) == 1


def test_channels_of_other_tabs_join_the_one_connection(
    site: Gateway, tab: Callable[[], Page], channel: str
) -> None:
    first, second = tab(), tab()
    first.evaluate(OPEN, [channel, {}])
    first.wait_for_function("states.includes('open')")
    second.evaluate(OPEN, [f"{channel}b", {}])
    second.wait_for_function("states.includes('open')")
    until(lambda: connections(site) == 1)
    second.evaluate("channel => stream.subscribe(channel, (event) => heard.push(event))", channel)
    until(lambda: connections(site) == 1)
    second.wait_for_timeout(500)
    site.append(channel, [1])
    site.append(f"{channel}b", [2])
    assert wait_for(first, 1) == [1]
    assert sorted(wait_for(second, 2)) == [1, 2]


HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_out_of_sight_it_pauses_and_resumes_when_looked_at(
    site: Gateway, tab: Callable[[], Page], channel: str
) -> None:
    first, second = tab(), tab()
    for page in (first, second):
        page.evaluate(OPEN, [channel, {"from": "earliest", "pauseAfter": 100}])
        page.wait_for_function("states.includes('open')", timeout=30_000)
    first.evaluate(HIDE, True)
    first.wait_for_timeout(400)
    assert connections(site) == 1, "the other is looked at"
    second.evaluate(HIDE, True)
    until(lambda: connections(site) == 0)
    site.append(channel, numbers(0, 10))
    second.evaluate(HIDE, False)
    assert wait_for(second, 10) == numbers(0, 10)
    assert wait_for(first, 10) == numbers(0, 10)
    assert "paused" in first.evaluate("states")


def test_publishing_is_heard_by_all(tab: Callable[[], Page], channel: str) -> None:
    first, second = tab(), tab()
    for page in (first, second):
        page.evaluate(OPEN, [channel, {"from": "earliest"}])
        page.wait_for_function("states.includes('open')", timeout=30_000)
    done = second.evaluate("channel => stream.publish(channel, {text: 'hi'})", channel)
    assert (done["channel"], done["duplicate"]) == (channel, False)
    assert wait_for(first, 1) == wait_for(second, 1) == [{"text": "hi"}]
    refused = second.evaluate(
        "stream.publish('unheard:1', 1).catch(({status, final}) => [status, final])"
    )
    assert refused == [401, True]


def test_the_readmes_program_runs(site: Gateway, tab: Callable[[], Page]) -> None:
    text = (ROOT / "README.md").read_text()
    (program,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    program = program.replace('"mainstem-live"', '"./mainstem-live.js"')
    program = program.replace("http://127.0.0.1:9094", f"http://{site.address}")
    page = tab()
    printed: list[str] = []
    page.on("console", lambda message: printed.append(message.text))
    page.add_script_tag(content=program, type="module")
    until(lambda: (page.wait_for_timeout(50), {"hello", "0", "1"} <= set(printed))[1])
