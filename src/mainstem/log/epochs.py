"""Which leader epoch began at which offset: Kafka's ``leader-epoch-checkpoint`` (KIP-101).

The file is Kafka's own text: version ``0``, the number of entries, then ``epoch start_offset``
lines in ascending order of both.
"""

from __future__ import annotations

from bisect import bisect_right

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, read_file, replace_file

FILE_NAME = "leader-epoch-checkpoint"
UNDEFINED = (-1, -1)


class LeaderEpochs:
    """Entries of (epoch, first offset); a change reaches the disk through :meth:`save`."""

    def __init__(self, entries: list[tuple[int, int]] | None = None) -> None:
        self.entries = entries or []

    @property
    def latest(self) -> int:
        return self.entries[-1][0] if self.entries else -1

    def assign(self, epoch: int, start_offset: int) -> bool:
        """Let ``epoch`` begin at ``start_offset``, replacing what contradicts it."""
        if epoch <= self.latest:
            return False
        self.entries = [entry for entry in self.entries if entry[1] < start_offset]
        self.entries.append((epoch, start_offset))
        return True

    def truncate_end(self, end_offset: int) -> None:
        """Forget epochs that began at or after ``end_offset``, as if never written."""
        self.entries = [entry for entry in self.entries if entry[1] < end_offset]

    def truncate_start(self, start_offset: int) -> bool:
        """Forget epochs that ended before ``start_offset``; the one it falls in starts there."""
        slot = bisect_right([entry[1] for entry in self.entries], start_offset)
        if slot == 0 or (slot == 1 and self.entries[0][1] == start_offset):
            return False
        self.entries = [(self.entries[slot - 1][0], start_offset), *self.entries[slot:]]
        return True

    def end_offset(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """Where ``epoch`` ended, by the rules of Kafka's LeaderEpochFileCache.endOffsetFor."""
        if epoch < 0:
            return UNDEFINED
        if epoch == self.latest:
            return epoch, log_end_offset
        slot = bisect_right([entry[0] for entry in self.entries], epoch)
        if slot == len(self.entries):
            return UNDEFINED
        floor = self.entries[slot - 1][0] if slot else epoch
        return floor, self.entries[slot][1]

    def to_bytes(self) -> bytes:
        lines = ["0", str(len(self.entries)), *(f"{e} {offset}" for e, offset in self.entries)]
        return "".join(f"{line}\n" for line in lines).encode()

    def save(self, filesystem: FileSystem, directory: str) -> None:
        replace_file(filesystem, directory, FILE_NAME, self.to_bytes())

    @classmethod
    def load(cls, filesystem: FileSystem, directory: str) -> LeaderEpochs:
        """Read the file; empty where there is none. Raises ``Corrupt`` if it is unfit."""
        path = f"{directory}/{FILE_NAME}"
        try:
            data = read_file(filesystem, path)
        except FileNotFoundError:
            return cls()
        return cls(parse_epochs(data, path))


def parse_epochs(data: bytes, path: str) -> list[tuple[int, int]]:
    try:
        version, count, *lines, rest = data.decode("ascii").split("\n")
        entries = [
            (int(epoch), int(offset)) for epoch, offset in (line.split(" ") for line in lines)
        ]
        if rest or version != "0" or int(count) != len(entries):
            raise ValueError("wrong version or count")
        for before, after in zip([(-1, -1), *entries], entries, strict=False):
            if after[0] <= before[0] or after[1] <= before[1]:
                raise ValueError("entries do not ascend")
    except ValueError as error:
        raise Corrupt(f"{path} is not a leader epoch checkpoint: {error}", code=56) from error
    return entries
