"""The state store beside rocksdict, plyvel, lmdb, sqlite3 and native RocksDB (``db_bench``).

``python -m benchmarks.lsm`` (or ``make bench-lsm``). Rules: peers run in the same process run and
are interleaved round by round; each gets its own natural input (lists of ``bytes``), made before
the clock starts; ours is Arrow. Peers' results are not turned into Arrow, which favours them.
Nobody syncs per batch unless the row says so; everybody writes a log. Medians are printed.
"""
