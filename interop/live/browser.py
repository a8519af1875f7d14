"""Real Chromium, headless, driven by playwright in a thread of its own event loop's making."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, sync_playwright


class Launched:
    """A running browser; ``close`` ends it."""

    def __init__(self) -> None:
        self._playwright = sync_playwright().start()
        try:
            self.chromium: Browser = self._playwright.chromium.launch(
                executable_path=shutil.which("chromium"),  # None: playwright's own
                # Root may not use the sandbox; the pages are ours.
                args=["--no-sandbox"] if os.geteuid() == 0 else [],
            )
        except BaseException:
            self._playwright.stop()
            raise

    def close(self) -> None:
        self.chromium.close()
        self._playwright.stop()


def launch() -> Launched:
    return Launched()
