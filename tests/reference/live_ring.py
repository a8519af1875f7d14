"""The live ring in plain Python: a list of all frames, and which of them are still held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Framed:
    data: bytes
    stream: int
    offset: int


class PlainRing:
    """Remembers everything; ``first`` is told what the real ring forgot."""

    def __init__(self, starts: list[int]) -> None:
        self.starts = starts
        self.frames: list[Framed] = []
        self.first = 0

    def append(self, data: bytes, stream: int, offset: int) -> None:
        self.frames.append(Framed(data, stream, offset))

    def vector_before(self, number: int) -> list[int]:
        """Where a reader stands who has had all frames before ``number``."""
        vector = list(self.starts)
        for frame in self.frames[:number]:
            if frame.stream >= 0:
                vector[frame.stream] = frame.offset + 1
        return vector

    def resume(self, wanted: list[int]) -> tuple[list[int], int] | None:
        """By the definition: every record at or after ``wanted``, each once, no id behind it."""
        tails = self.vector_before(self.first)
        if any(want < tail for want, tail in zip(wanted, tails, strict=True)):
            return None
        missing = [
            number
            for number, frame in enumerate(self.frames)
            if number >= self.first and frame.stream >= 0 and frame.offset >= wanted[frame.stream]
        ]
        for place, number in enumerate(missing):
            after = self.vector_before(number + 1)
            if all(have >= want for have, want in zip(after, wanted, strict=True)):
                return missing[:place], number
        return missing, len(self.frames)
