"""A whole broker on a virtual event loop: requests by version, parked calls, time by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mainstem import wire
from mainstem.broker import Broker, BrokerConfig
from mainstem.broker.apis import APIS, handler
from mainstem.broker.call import Call
from mainstem.testing import VirtualClock
from mainstem.wire import Message


class ShiftedLoop(asyncio.SelectorEventLoop):
    """Its time runs on, and can be pushed forward."""

    shift = 0.0

    def time(self) -> float:
        return super().time() + self.shift


class Site:
    """``run(scenario)`` calls an async function with this site, in the broker's loop.

    The broker is real: store, log, topics and coordinator, on the directory ``data``.
    """

    def __init__(self, data: Path, **options: Any) -> None:
        self.clock = VirtualClock()
        settings = {"port": 0, "num_partitions": 3, "group_min_session_timeout_ms": 1_000}
        self.config = BrokerConfig(data=data, **{**settings, **options})
        self._runner = asyncio.Runner(loop_factory=ShiftedLoop)
        self._loop: Any = self._runner.get_loop()
        self.broker: Broker
        self._runner.run(self._start())

    async def _start(self) -> None:
        self.broker = Broker(self.config, clock=self.clock)
        await self.broker.start()

    def run(self, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self._runner.run(scenario())

    async def topic(self, name: str, partitions: int = 3) -> Any:
        return await self.broker.topics.create(name, partitions, {})

    async def ask(self, api_key: int, version: int | None = None, **fields: Any) -> Message:
        """The answer, with request and answer sent through the wire format of that version."""
        at = APIS[api_key].highest if version is None else version
        body = wire.encode_request(api_key, at, Message(**fields))
        request = wire.decode_request(api_key, at, body)
        answer = handler(api_key)(request, Call(self.broker, at, "tester", "/127.0.0.1"))
        if inspect.iscoroutine(answer):
            answer = await answer
        return wire.decode_response(api_key, at, wire.encode_response(api_key, at, answer))

    def park(self, api_key: int, version: int | None = None, **fields: Any) -> Any:
        """The same as a task: for requests that wait."""
        return asyncio.ensure_future(self.ask(api_key, version, **fields))

    async def settle(self) -> None:
        """Lets everything that can happen now happen: callbacks, writes, callbacks of writes."""
        for _ in range(3):
            await asyncio.sleep(0)
            await self.broker.store.write(lambda _connection: None)
        await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        self._loop.shift += seconds
        self.clock.advance(seconds)
        await self.settle()

    def restart(self) -> None:
        """Closes the broker and opens its directory again. Members keep their clocks."""
        self._runner.run(self.broker.close())
        self._runner.run(self._start())

    def close(self) -> None:
        self._runner.run(self.broker.close())
        self._runner.close()

    # --- members ------------------------------------------------------------------------------

    def join(self, group: str = "g", member_id: str = "", **fields: Any) -> Any:
        """A parked JoinGroup."""
        protocol = Message(name="range", metadata=fields.pop("metadata", b"\0\0\0\0\0\0"))
        message = {
            "group_id": group,
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 60_000,
            "member_id": member_id,
            "group_instance_id": None,
            "protocol_type": "consumer",
            "protocols": [protocol],
            "reason": None,
        }
        return self.park(11, fields.pop("version", None), **{**message, **fields})

    async def enter(self, group: str = "g", **fields: Any) -> tuple[str, Any]:
        """A dynamic member's handshake: its id, and its parked join."""
        member_id = (await self.join(group, **fields)).member_id
        task = self.join(group, member_id, **fields)
        await asyncio.sleep(0)
        return member_id, task

    def sync(self, group: str, member_id: str, generation: int, **fields: Any) -> Any:
        """A parked SyncGroup; ``assignments`` as a dict."""
        given = fields.pop("assignments", {})
        message = {
            "group_id": group,
            "generation_id": generation,
            "member_id": member_id,
            "group_instance_id": None,
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": [Message(member_id=k, assignment=v) for k, v in given.items()],
        }
        return self.park(14, fields.pop("version", None), **{**message, **fields})

    async def lead(self, group: str = "g", **fields: Any) -> str:
        """A stable group of one, assigned ``b"all"``; its member id."""
        member_id, task = await self.enter(group, **fields)
        joined = await task
        generation = joined.generation_id
        await self.sync(group, member_id, generation, assignments={member_id: b"all"})
        return member_id

    async def beat(
        self, group: str, member_id: str, generation: int, instance: str | None = None
    ) -> int:
        answer = await self.ask(
            12,
            group_id=group,
            generation_id=generation,
            member_id=member_id,
            group_instance_id=instance,
        )
        return int(answer.error_code)

    # --- offsets ------------------------------------------------------------------------------

    async def commit(
        self,
        offsets: dict[tuple[str, int], Any],
        group: str = "g",
        *,
        member: str = "",
        generation: int = -1,
        version: int = 9,
        **fields: Any,
    ) -> dict[tuple[str, int], int]:
        """OffsetCommit by name; a value is the offset or fields of the partition."""
        topics: dict[str, list[Message]] = {}
        for (topic, index), value in offsets.items():
            given = value if isinstance(value, dict) else {"committed_offset": value}
            partition = {"committed_leader_epoch": -1, "committed_metadata": None, **given}
            topics.setdefault(topic, []).append(Message(partition_index=index, **partition))
        answer = await self.ask(
            8,
            version,
            group_id=group,
            generation_id_or_member_epoch=generation,
            member_id=member,
            group_instance_id=fields.pop("instance", None),
            topics=[Message(name=name, partitions=found) for name, found in topics.items()],
            **fields,
        )
        return {
            (topic.name, partition.partition_index): int(partition.error_code)
            for topic in answer.topics
            for partition in topic.partitions
        }

    async def committed(self, group: str = "g", version: int = 9) -> dict[tuple[str, int], int]:
        """OffsetFetch of everything a group has."""
        answer = await self.ask(
            9,
            version,
            groups=[Message(group_id=group, topics=None, member_id=None, member_epoch=-1)],
            require_stable=True,
        )
        return {
            (topic.name, partition.partition_index): partition.committed_offset
            for topic in answer.groups[0].topics
            for partition in topic.partitions
        }
