"""Which version of each request both sides know (KIP-35, KIP-511)."""

from __future__ import annotations

from mainstem.client.protocol import Answer
from mainstem.wire import Message, api_versions

UNSUPPORTED_VERSION = 35


def read_versions(answer: Answer) -> Message:
    """The broker's answer to ApiVersions, whatever version it chose to give it in."""
    code = int.from_bytes(answer.frame[4:6], "big", signed=True)
    if code == UNSUPPORTED_VERSION:  # in version 0, whatever was asked
        return Message(error_code=code, api_keys=[])
    return answer.decode()


def common_version(api_key: int, lowest: int, highest: int) -> int | None:
    """The highest version of an API in the broker's range that we speak, too."""
    try:
        our_lowest, our_highest = api_versions(api_key)
    except KeyError:  # an API we do not know
        return None
    best = min(highest, our_highest)
    return best if best >= max(lowest, our_lowest) else None
