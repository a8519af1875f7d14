"""The order and the numbers of one partition's batches, without any network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mainstem.client.lanes import Batch, Lane
from mainstem.client.producer import hold_back
from mainstem.client.retry import Deadline
from mainstem.errors import Unavailable
from mainstem.kernels import read_header
from mainstem.wire import encode_batch

TROUBLE = Unavailable("trouble")


def in_loop(body: Callable[[Callable[[int], Batch]], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()

        def make(serial: int) -> Batch:
            data = encode_batch([b"x"] * 3, now_ms=0)
            return Batch(data, 3, serial, Deadline(10), loop.create_future())

        await body(make)

    asyncio.run(run())


def lane(*batches: Batch, idempotent: bool = True) -> Lane:
    found = Lane("t", 0, -1, idempotent)
    found.adopt((7, 0))
    found.queue.extend(batches)
    return found


def sequences(*batches: Batch) -> list[int]:
    return [read_header(batch.data).base_sequence for batch in batches]


def test_batches_are_numbered_by_their_records() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        found = lane(make(0), make(1), make(2))
        assert sequences(*(found.depart() for _ in range(3))) == [0, 3, 6]

    in_loop(body)


def test_numbers_go_round_at_two_to_the_31() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        found = lane(make(0), make(1))
        found.next_sequence = 2**31 - 2
        assert sequences(found.depart(), found.depart()) == [2**31 - 2, 1]

    in_loop(body)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_failed_batches_go_again_in_their_first_order_with_their_numbers(
    order: tuple[int, int, int],
) -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        batches = [make(0), make(1), make(2)]
        found = lane(*batches, make(3))
        for _ in range(3):
            found.depart()
        for index in order:
            found.again(batches[index], TROUBLE)
        assert not found.sendable  # the fourth must not overtake them
        found.requeue()
        again = [found.depart() for _ in range(4)]
        assert [batch.serial for batch in again] == [0, 1, 2, 3]
        assert sequences(*again) == [0, 3, 6, 9]

    in_loop(body)


def test_a_new_identity_numbers_from_zero() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        batches = [make(0), make(1)]
        found = lane(*batches)
        found.depart(), found.depart()
        found.fail(batches[0], TROUBLE)
        assert found.identity is None
        assert found.renumbers(batches[1])
        found.again(batches[1], TROUBLE)
        found.requeue()
        found.adopt((8, 0))
        header = read_header(found.depart().data)
        assert (header.producer_id, header.base_sequence) == (8, 0)
        with pytest.raises(Unavailable):
            await batches[0].done

    in_loop(body)


def test_at_most_five_are_under_way_and_none_while_blocked() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        found = lane(*(make(serial) for serial in range(7)))
        found.blocked = True
        assert not found.sendable
        found.blocked = False
        while found.sendable:
            found.depart()
        assert len(found.in_flight) == 5

    in_loop(body)


def test_a_cancelled_batch_is_not_sent_and_takes_no_number() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        batches = [make(0), make(1), make(2)]
        found = lane(*batches)
        batches[1].done.cancel()
        sent = []
        while found.sendable:
            sent.append(found.depart())
        assert [batch.serial for batch in sent] == [0, 2]
        assert sequences(*sent) == [0, 3]

    in_loop(body)


def test_an_unwanted_batch_is_not_sent_again() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        batches = [make(0), make(1)]
        found = lane(*batches)
        found.depart(), found.depart()
        batches[0].unwanted = True
        for batch in batches:
            found.again(batch, TROUBLE)
        found.requeue()
        assert batches[0].done.cancelled()
        assert list(found.queue) == [batches[1]]
        assert found.identity is None  # its number is missing now

    in_loop(body)


def test_without_idempotence_batches_stay_unnumbered() -> None:
    async def body(make: Callable[[int], Batch]) -> None:
        header = read_header(lane(make(0), idempotent=False).depart().data)
        assert (header.producer_id, header.base_sequence) == (-1, -1)

    in_loop(body)


def test_a_batch_behind_one_that_failed_is_held_back() -> None:
    """A broker knows five batches: one sent past the failed one could hide that it is there."""

    async def body(make: Callable[[int], Batch]) -> None:
        found, other = lane(make(0), make(1)), lane(make(2))
        first, second, third = found.depart(), found.depart(), other.depart()
        found.again(first, TROUBLE)
        load = [(found, second), (other, third)]
        hold_back(load)
        assert load == [(other, third)]
        assert found.failed == [first, second]
        assert not found.in_flight

    in_loop(body)
