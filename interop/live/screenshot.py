"""``python -m interop.live.screenshot``: docs/images/live.png, of the demo's page at work."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from interop.live.browser import launch
from mainstem.demo import flights
from mainstem.demo.node import DemoNode
from mainstem.demo.replay import Journey
from mainstem.demo.show import Show

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "live.png"
SAID = [
    ("14C", "Still at the gate. Three hours now."),
    ("27A", "They just moved us to B22"),
    ("3F", "De-icing, they say ❄"),
    ("14C", "Boarding! Finally."),
]


def main() -> None:
    """Takes it in the dark, at a common size, with two who watch."""
    table = flights.load(flights.find())
    with DemoNode() as node, Show(node.kafka, table) as show, closing(launch()) as browser:
        show.year(Journey(table.num_rows, batches=table.to_batches()))
        context = browser.chromium.new_context(
            color_scheme="dark", viewport={"width": 1360, "height": 840}, device_scale_factor=1.5
        )
        other, page = context.new_page(), context.new_page()
        other.goto(node.page)
        page.goto(node.page)
        for seat, text in SAID:
            other.evaluate("seat => { localStorage.seat = seat; }", seat)
            other.reload()
            other.fill("#text", text)
            other.click("form button")
            other.wait_for_selector(f"#comments li:has-text('{text}')")
        for _ in range(42):
            other.click("#like")
        page.wait_for_function("document.querySelector('#likes').textContent === '42'")
        page.wait_for_timeout(20_000)  # some flights leave
        IMAGE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=IMAGE)
        print(f"{IMAGE}: {IMAGE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
