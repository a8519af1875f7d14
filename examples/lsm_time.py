"""State that ages: rows that expire by themselves, and windows whose files go at once."""

import tempfile
from datetime import UTC, datetime

import pyarrow as pa

from mainstem.lsm import Store, decode_key, encode_key, encode_keys
from mainstem.testing import VirtualClock

HOUR = 3_600_000
clock = VirtualClock()  # so that this takes no hours; by default it is the system's

with (
    tempfile.TemporaryDirectory() as directory,
    Store.open(f"{directory}/state", clock=clock) as store,
):
    # A session is forgotten an hour after it was written last.
    sessions = store.family("sessions", ttl_ms=HOUR)
    sessions.put_batch([b"ann", b"bob"], [b"cart: 1", b"cart: 2"])
    clock.advance(1800)
    sessions.put(b"ann", b"cart: 3")
    clock.advance(1801)
    print(dict(sessions.items()))

    # Keys that begin with a time, in files of an hour each, kept for a day.
    counts = store.family("counts", window_ms=HOUR, retention_ms=24 * HOUR)
    hours = pa.array([clock.now_ms() - age * HOUR for age in range(48)])
    counts.put_batch(encode_keys(hours, pa.array(["EWR"] * 48)), [b"1"] * 48)
    store.flush()
    store.expire()
    since = datetime.fromtimestamp(clock.now_ms() / 1000 - 10 * 3600, UTC)
    recent = counts.scan(encode_key(since)).read_all()
    print(recent.num_rows, "of the last ten hours,", len(list(counts)), "in all")
    print(decode_key(recent["key"][-1].as_py(), ["timestamp", "str"]))
