"""The state store beside rocksdict, plyvel, lmdb, sqlite3 and native RocksDB (``db_bench``).

``python -m benchmarks.lsm`` (or ``make bench-lsm``) measures the tables in at most twelve minutes,
``--quick`` in three, ``--overwrite 600`` (``make bench-lsm-overwrite``) the long run; each keeps
its figures in ``figures/`` and writes ``RESULTS.md`` from all that are there.

Rules: engines are measured one right after the other, size by size and round by round, so that
noise meets all; medians are printed. Each gets its own natural input (lists of ``bytes``) made
before the clock starts; ours is Arrow. Peers' results are not turned into Arrow, which favours
them. Everybody writes a log, nobody compresses, and nobody syncs unless the row says so. A
measurement ends with its rows or with its share of the time, whichever is first. What an engine has
left to be written goes to disk before the next one's clock starts. Four stores of each that do not
count go first, and one before each filling that does: memory that a virtual machine has not used,
or not for a while, is slow to come (the first million rows of a process took 0.4 s in place of
0.07, and after the turns of all others 0.08 in place of 0.055).
"""
