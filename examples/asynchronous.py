"""The same for asyncio: append from many tasks while another follows."""

import asyncio
import tempfile

import mainstem as ms


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with await ms.aopen(directory) as stem:
            topic = await stem.topic("events", create=True)

            async def follow() -> int:
                seen = 0
                async for batch in topic.read(follow=True):
                    seen += batch.num_rows
                    if seen == 100:
                        break
                return seen

            follower = asyncio.create_task(follow())
            await asyncio.gather(*(topic.append([f"event {n}"]) for n in range(100)))
            print(f"followed {await follower} events")


asyncio.run(main())
