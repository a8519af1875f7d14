"""A key set that lives elsewhere: fetched off the loop, cached, refreshed when keys rotate."""

from __future__ import annotations

import asyncio
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

from mainstem.clock import Clock
from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.live.access.keys import Key, matching, read_jwks
from mainstem.live.access.settings import TokenSettings, check_key_url

LARGEST_SET = 1 << 20
FETCH_SECONDS = 5.0
_log = logging.getLogger(__name__)


class RemoteKeys:
    """Keys of a JWK Set that ``fetch`` reads (blocking, called in a thread).

    Fetched at first use and every ``jwks_refresh`` seconds, in the background while the known
    keys serve; at once for a key id not known yet (a rotation), but ``jwks_pause`` seconds
    apart at least, whatever tokens strangers send. A failed fetch keeps the known keys, up to
    ``jwks_keep`` seconds after they were last confirmed. One event loop's.
    """

    def __init__(self, fetch: Callable[[], bytes], settings: TokenSettings, clock: Clock) -> None:
        self._fetch = fetch
        self._settings = settings
        self._clock = clock
        self._keys: Sequence[Key] = ()
        self._confirmed: float | None = None
        self._tried: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self.failures = 0

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[Key]:
        """Keys that fit. Raises ``Unavailable`` while there is no key set at all."""
        if self._confirmed is None:
            await self._refresh()
        elif self._age() >= self._settings.jwks_refresh:
            fetching = self._start()
            if self._age() >= self._settings.jwks_keep and fetching is not None:
                await asyncio.shield(fetching)
        found = self._usable(algorithm, key_id)
        if not found:
            await self._refresh()
            found = self._usable(algorithm, key_id)
        return found

    async def close(self) -> None:
        """Wait for a fetch that is under way; nothing is started after."""
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _usable(self, algorithm: str, key_id: str | None) -> list[Key]:
        if self._confirmed is None or self._age() >= self._settings.jwks_keep:
            raise Unavailable("the keys that tokens are checked with cannot be had: try later")
        return matching(self._keys, algorithm, key_id)

    def _age(self) -> float:
        assert self._confirmed is not None
        return self._clock.monotonic() - self._confirmed

    async def _refresh(self) -> None:
        fetching = self._start()
        if fetching is not None:
            await asyncio.shield(fetching)  # of many that wait one may go away

    def _start(self) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one unless the last was just now."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock.monotonic()
        if self._tried is not None and now - self._tried < self._settings.jwks_pause:
            return None
        self._tried = now
        self._fetching = asyncio.get_running_loop().create_task(self._run())
        return self._fetching

    async def _run(self) -> None:
        try:
            self._keys = read_jwks(await asyncio.to_thread(self._fetch))
            self._confirmed = self._clock.monotonic()
        except (MainstemError, OSError, HTTPException) as error:
            self.failures += 1
            _log.warning("the key set could not be read (%s): the known keys stay", error)


def remote_keys(settings: TokenSettings, clock: Clock) -> RemoteKeys | None:
    """The key set that ``settings`` name, if they do."""
    if settings.jwks_url is not None:
        url = settings.jwks_url
        return RemoteKeys(lambda: fetch_url(url), settings, clock)
    if settings.jwks_file is not None:
        path = Path(settings.jwks_file)
        return RemoteKeys(lambda: read_bounded(path), settings, clock)
    return None


def read_bounded(path: Path) -> bytes:
    """A key set's file. Raises ``OSError``, or ``Invalid`` above 1 MiB."""
    with path.open("rb") as file:
        return _bounded(file.read(LARGEST_SET + 1), str(path))


def fetch_url(url: str) -> bytes:
    """A key set over HTTP. Raises ``OSError`` or ``HTTPException``, or ``Invalid`` above 1 MiB.

    Redirects are followed only to where keys may come from. Blocks up to some 5 s per read.
    """
    check_key_url(url)
    opener = urllib.request.build_opener(_SafeRedirects)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with opener.open(request, timeout=FETCH_SECONDS) as answer:
        return _bounded(answer.read(LARGEST_SET + 1), url)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # type: ignore[no-untyped-def]
        self, req, fp, code, msg, headers, newurl
    ) -> urllib.request.Request | None:
        try:
            check_key_url(newurl)
        except ValueError as error:
            raise urllib.error.URLError(str(error)) from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _bounded(document: bytes, origin: str) -> bytes:
    if len(document) > LARGEST_SET:
        raise Invalid(f"{origin} has over 1 MiB: that is no key set")
    return document
