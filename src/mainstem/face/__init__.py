"""What users hold: a ``Stem`` and its topics, blocking or for asyncio, embedded or remote."""

from __future__ import annotations

from mainstem.face.asynchronous import AsyncStem, AsyncTopic, aconnect, aopen
from mainstem.face.blocking import Stem, Topic, connect, open  # noqa: A004 - reads as ms.open

__all__ = ["AsyncStem", "AsyncTopic", "Stem", "Topic", "aconnect", "aopen", "connect", "open"]
