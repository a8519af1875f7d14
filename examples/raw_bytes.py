"""Raw bytes with keys, headers and times; offsets, times and single partitions as places."""

import datetime
import tempfile

import mainstem as ms

noon = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)

with tempfile.TemporaryDirectory() as directory, ms.open(directory) as stem:
    readings = stem.topic("readings", partitions=2, create=True)
    readings.append(
        [
            {
                "value": f"{20 + minute / 10:.1f}".encode(),
                "_key": b"sensor-1",
                "_timestamp": noon + datetime.timedelta(minutes=minute),
                "_headers": [{"key": "unit", "value": b"celsius"}],
            }
            for minute in range(60)
        ],
        compression="zstd",
    )

    late = readings.read(start=noon + datetime.timedelta(minutes=58))
    print([value.decode() for batch in late for value in batch["value"].to_pylist()])

    first, last = readings.offsets()
    (partition,) = (index for index in first if last[index] > 0)
    few = readings.read(start=3, end=5, partitions=[partition])
    print([offset for batch in few for offset in batch["_offset"].to_pylist()])
