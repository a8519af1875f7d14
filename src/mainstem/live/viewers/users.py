"""Sets of users in three sizes: by name, by hash, by sketch.

Absolute, never a difference: whoever gets two states in a row needs only the second, and
states of several workers and nodes merge in any order, any number of times.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from mainstem.errors import Corrupt
from mainstem.kernels import hyperloglog
from mainstem.live.viewers.settings import EXACT_USERS, SKETCH_ERROR

MOST_NAMES = EXACT_USERS
LONGEST_NAME = 256


class Users(msgspec.Struct, array_like=True, frozen=True):
    """Different users, in exactly one way: all ``names``; sorted 64-bit ``hashes`` (8 bytes
    each, little-endian), at most 10,000; or a HyperLogLog ``sketch`` of 16,384 bytes."""

    names: list[str] | None = None
    hashes: bytes | None = None
    sketch: bytes | None = None

    def check(self) -> None:
        """Raise ``Corrupt`` for what :func:`pack` would not have made."""
        forms = (self.names, self.hashes, self.sketch)
        if sum(form is not None for form in forms) != 1:
            raise Corrupt("a set of users must have one form of names, hashes and sketch")
        if self.names is not None and (
            len(self.names) > MOST_NAMES or any(len(name) > LONGEST_NAME for name in self.names)
        ):
            raise Corrupt(f"a set of users has over {MOST_NAMES} names, or longer ones than 256")
        if self.hashes is not None and (len(self.hashes) % 8 or len(self.hashes) > 8 * EXACT_USERS):
            raise Corrupt(f"a set of users has {len(self.hashes)} bytes of hashes")
        if self.sketch is not None:
            try:
                hyperloglog.sketch_estimate(self.sketch)
            except ValueError as error:
                raise Corrupt(f"a set of users has a damaged sketch: {error}") from error


NOBODY: Final = Users(names=[])


@dataclass(frozen=True, slots=True)
class Tally:
    """How many users; ``error``: relative standard error (0.0: exact); who, if all are named."""

    users: int
    error: float
    names: frozenset[str] | None


def pack(names: Collection[str], *, most_names: int) -> Users:
    """The smallest-error form: names up to ``most_names``, hashes to 10,000, then a sketch."""
    if len(names) <= most_names:
        return Users(names=list(names))
    return pack_hashes({hash_of(name) for name in names})


def merge(sets: Iterable[Users]) -> Tally:
    """Users in any of ``sets``: exact unless one of them is a sketch."""
    sets = list(sets)
    if all(each.names is not None for each in sets):
        names = frozenset(name for each in sets for name in each.names or ())
        return Tally(len(names), 0.0, names)
    if all(each.sketch is None for each in sets):
        return Tally(len(_hashes_of(sets)), 0.0, None)
    estimate = hyperloglog.sketch_estimate(_sketch_of(sets))
    return Tally(round(estimate), SKETCH_ERROR, None)


def combine(sets: Iterable[Users], *, most_names: int) -> Users:
    """One set that says as much as ``sets`` do, in the form :func:`pack` would choose."""
    sets = list(sets)
    if len(sets) == 1:
        return sets[0]
    if all(each.names is not None for each in sets):
        return pack({name for each in sets for name in each.names or ()}, most_names=most_names)
    if all(each.sketch is None for each in sets):
        return pack_hashes(_hashes_of(sets))
    return Users(sketch=bytes(_sketch_of(sets)))


def hash_of(name: str) -> int:
    """64 evenly spread bits of a user's name, the same on every node.

    Two of 10,000 users share one with a probability of 3 in 10¹²: that is what exact means.
    """
    # surrogatepass: a JSON token may hold lone surrogates, and a count is no place to fail.
    encoded = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=8, person=b"live-viewers").digest(), "big")


def pack_hashes(hashes: Collection[int]) -> Users:
    """The set of users with these different hashes: exact to 10,000, then a sketch."""
    if len(hashes) <= EXACT_USERS:
        return Users(hashes=_little_endian(array("Q", sorted(hashes))).tobytes())
    registers = bytearray(hyperloglog.SKETCH_SIZE)
    hyperloglog.sketch_add(registers, array("Q", hashes))
    return Users(sketch=bytes(registers))


def _hashes_of(sets: Iterable[Users]) -> set[int]:
    found: set[int] = set()
    for each in sets:
        if each.names is not None:
            found.update(map(hash_of, each.names))
        elif each.hashes is not None:
            hashes = array("Q")
            hashes.frombytes(each.hashes)
            found.update(_little_endian(hashes))
    return found


def _little_endian(hashes: array[int]) -> array[int]:
    if sys.byteorder == "big":
        hashes.byteswap()
    return hashes


def _sketch_of(sets: Iterable[Users]) -> bytearray:
    sets = list(sets)
    registers = bytearray(hyperloglog.SKETCH_SIZE)
    hyperloglog.sketch_add(registers, array("Q", _hashes_of(sets)))
    for each in sets:
        if each.sketch is not None:
            hyperloglog.sketch_merge(registers, each.sketch)
    return registers
