"""Safety checks of the state store, each with a change that takes it away and tests that go red.

``python tests/lsm/lsm_mutants.py [word …]`` makes the changes one by one in a copy of the source
(kernels are rebuilt there) and says which tests noticed; the exit code is 1 if any did not.
`test_lsm_mutants.py` sees to it that the list keeps up with the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
CRASH: Final = "tests/lsm/test_lsm_crash.py"
EVERY_CALL: Final = f"{CRASH}::test_a_power_cut_at_every_call"
FAULTS: Final = "tests/lsm/test_lsm_faults.py"
DAMAGE: Final = "tests/lsm/test_lsm_damage.py"
STORE: Final = "tests/lsm/test_lsm_store.py"
COPIES: Final = "tests/lsm/test_lsm_copies.py"
LOG: Final = "tests/lsm/test_lsm_log.py"
SPACE: Final = "tests/lsm/test_lsm_space.py"
CHECKSUM: Final = "tests/kernels/test_kernel_checksum.py"
META: Final = "tests/lsm/test_lsm_metamorphic.py"
INTERRUPTS: Final = "tests/lsm/test_lsm_interrupts.py"
STRANGERS: Final = "tests/lsm/test_lsm_strangers.py"
PRESSURE: Final = "tests/lsm/test_lsm_pressure.py"
STALLS: Final = "tests/lsm/test_lsm_stalls.py"
HOSTILE: Final = "tests/lsm/test_lsm_hostile.py"
DIRECT: Final = "tests/lsm/test_lsm_direct.py"
MACHINE: Final = "tests/lsm/test_lsm_machine.py"
FUZZ: Final = "tests/kernels/test_kernel_lsm_fuzz.py"
GUARD: Final = "tests/kernels/test_kernel_lsm_guard_page.py"
ROWS: Final = "tests/kernels/test_kernel_lsm_rows.py"
MEMTABLE: Final = "tests/kernels/test_kernel_lsm_memtable.py"


class Mutant(NamedTuple):
    """``old`` in ``file`` (under src/mainstem) becomes ``new``; ``tests`` must fail then."""

    what: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS: Final = (
    # Durability and its order (docs/formats-lsm.md, notes: crash-safety rules 1, 2, 5).
    Mutant("log: a sync that does not sync", "lsm/log.py",
           "self._file.fdatasync()\n            self.synced", "self.synced", CRASH),
    Mutant("log: records do not say what was synced", "lsm/log.py",
           "lsm.number_record(record, sequence, self.synced)",
           "lsm.number_record(record, sequence, 0)", f"{CRASH} {DAMAGE}"),
    Mutant("commit: batch is acknowledged before it is synced", "lsm/state.py",
           'if self.options.sync == "batch":\n                    log.sync()',
           'if self.options.sync == "never":\n                    log.sync()', CRASH),
    Mutant("group: acknowledged before the sync", "lsm/groupsync.py",
           "log.sync(size)", "pass", CRASH),
    Mutant("seal: the old segment is not synced before the new one", "lsm/state.py",
           'if self.options.sync != "none":\n                    self.log.sync()',
           'if self.options.sync == "never":\n                    self.log.sync()',
           f"{EVERY_CALL} {CRASH} {LOG}"),
    Mutant("segment: its name is not synced", "lsm/state.py",
           "self.filesystem.fsync_directory(self.directory)\n        self.log = log",
           "self.log = log", CRASH),
    Mutant("close: older segments of an unsynced store are not synced", "lsm/state.py",
           "self.filesystem.open(path).fdatasync()", "pass", CRASH),
    Mutant("close: names of an unsynced store's segments are not synced", "lsm/state.py",
           "            self.filesystem.fsync_directory(self.directory)\n        self.log.sync()",
           "        self.log.sync()", CRASH),
    Mutant("manifest: its bytes are not synced before the rename", "filesystem.py",
           "file.fdatasync()\n    del file", "del file", CRASH),
    Mutant("manifest: the rename is not synced", "filesystem.py",
           'filesystem.rename(temporary, f"{directory}/{name}")\n    '
           "filesystem.fsync_directory(directory)",
           'filesystem.rename(temporary, f"{directory}/{name}")', CRASH),
    Mutant("run: its bytes are not synced", "lsm/writer.py",
           "self._file.fdatasync()", "pass", CRASH),
    Mutant("run: its name is not synced", "lsm/runset.py",
           "self._filesystem.fsync_directory(self._directory)", "pass", CRASH),
    Mutant("flush: the log goes before the manifest", "lsm/edits.py",
           "last = generations[-1]\n",
           "last = generations[-1]\n"
           "    for segment in range(state.manifest.log_from, last.segment + 1):\n"
           "        state.unlink(segment_name(segment))\n", CRASH),
    Mutant("merge: inputs go before the manifest", "lsm/edits.py",
           "        new = () if record is None",
           "        state.remove_files(list(known.values()))\n        new = () if record is None",
           CRASH),
    Mutant("checkpoint: the manifest comes before its runs' names are durable", "lsm/transfer.py",
           "        filesystem.fsync_directory(target)\n        # The manifest",
           "        # The manifest", COPIES),
    Mutant("ingest: the run's bytes are not synced", "lsm/transfer.py",
           "file.fdatasync()\n    size = file.size()", "size = file.size()", COPIES),
    Mutant("ingest: the run's name is not synced", "lsm/transfer.py",
           "state.filesystem.fsync_directory(state.directory)\n        records.sort",
           "records.sort", COPIES),
    Mutant("open: what a killed process wrote is not synced", "lsm/recovery.py",
           "        file.fdatasync()\n    return SegmentReader",
           "        pass\n    return SegmentReader", CRASH),
    # Failures (rules 6, 9).
    Mutant("a failed commit does not poison", "lsm/state.py",
           "except OSError as error:\n            self.poison(error)\n            raise "
           "Unavailable(\n                f\"a commit",
           "except OSError as error:\n            raise "
           "Unavailable(\n                f\"a commit", FAULTS),
    Mutant("failed background work does not poison", "lsm/background.py",
           "except BaseException as error:\n                state.poison(error)",
           "except BaseException as error:\n                pass",
           f"{FAULTS} {COPIES}"),
    Mutant("interrupt: background work between manifest and memory goes on", "lsm/background.py",
           "if state.editing:", "if False:", INTERRUPTS),
    Mutant("interrupt: a commit half inserted is left so", "lsm/state.py",
           "            self.insert(record, operations)\n        except BaseException",
           "            pass\n        except BaseException", INTERRUPTS),
    Mutant("interrupt: operands are folded twice", "kernels/lsm_commit.pyx",
           "record.inserted = end", "pass", INTERRUPTS),
    Mutant("interrupt: which log is current is not known", "lsm/state.py",
           "self.poison(error)  # interrupted: which log is the current one?", "pass", INTERRUPTS),
    Mutant("fork: the child writes, too", "lsm/forks.py",
           "state.closed = True", "pass", INTERRUPTS),
    Mutant("ingest: what was refused stays", "lsm/transfer.py",
           "    except MainstemError:\n        remove_runs("
           "state.filesystem, state.directory, records)",
           "    except MainstemError:", STRANGERS),
    Mutant("doctor: every hole is an error", "lsm/check.py",
           "if (first is not None and first.synced) or (end", "if True or (end", STRANGERS),
    Mutant("doctor: no hole is an error", "lsm/check.py",
           "if (first is not None and first.synced) or (end", "if False and (end", STRANGERS),
    Mutant("a poisoned store takes writes", "lsm/disk.py",
           "if self.failure is not None:\n            raise Unavailable",
           "if self.failure is None and self.closed:\n            raise Unavailable", FAULTS),
    Mutant("short writes are not finished", "filesystem.py",
           "view = view[taken:]", "view = view[len(view):]", FAULTS),
    Mutant("no room for zeros ahead fails the commit", "lsm/log.py",
           "self._ahead = False  # the record itself may still fit", "raise", LOG),
    Mutant("zeros stay behind a closed log", "lsm/log.py",
           "self._file.truncate(self.size)\n            self._zeroed", "self._zeroed", LOG),
    Mutant("a sealed log keeps what was reserved", "lsm/log.py",
           "self._space.release(lambda: self._file, self.size)", "pass", SPACE),
    Mutant("a run keeps what was reserved", "lsm/writer.py",
           "self._space.release(lambda: self._file, self.position + len(tail))", "pass", SPACE),
    Mutant("an open leaves what a killed process had reserved", "lsm/recovery.py",
           "state.filesystem.open(reader.path).truncate(reader.good)", "pass", SPACE),
    Mutant("a closed store keeps its memtables", "lsm/store.py",
           "state.let_go()", "pass", SPACE),
    Mutant("large records lack a piece", "lsm/log.py",
           "range(0, size, _AT_ONCE)", "range(_AT_ONCE, size, _AT_ONCE)", LOG),
    Mutant("log: checksums are folded wrongly", "kernels/checksum.pyx",
           "by512, c), by512, d)", "by512, d), by512, c)", CHECKSUM),
    # Recovery (rules 4, 5, 8).
    Mutant("recovery: whole records behind a bad one are no witness", "lsm/log.py",
           "best = max(best, struct", "best = min(best, struct", f"{CRASH} {DAMAGE}"),
    Mutant("recovery: later segments are no witness", "lsm/recovery.py",
           "if first is not None and first.synced:", "if first is not None and False:", CRASH),
    Mutant("recovery: a gap between segments is no loss", "lsm/recovery.py",
           "if synced or (log_end", "if False or (log_end", CRASH),
    Mutant("recovery: commits behind a gap are applied", "lsm/recovery.py",
           "if reader.first_sequence > state.sequence + 1:",
           "if reader.first_sequence > state.sequence + 10**9:", CRASH),
    Mutant("recovery: zeros are a sealed end though commits are missing", "lsm/log.py",
           "and following.first_sequence == self.next_sequence", "and True", LOG),
    Mutant("recovery: zeros behind a sealed log are a torn end", "lsm/recovery.py",
           "            later and reader.ends_before", "            False and reader.ends_before",
           LOG),
    Mutant("check: zeros behind a sealed log are a torn end", "lsm/check.py",
           "                later and reader", "                False and reader", LOG),
    Mutant("recovery: a missing last segment is no loss", "lsm/recovery.py",
           "and (log_end[0] not in segments)", "and (log_end[0] in ())", DAMAGE),
    Mutant("recovery: the orderly end of the log is no witness", "lsm/recovery.py",
           "if log_end is not None and log_end[0] >= segment:",
           "if log_end is not None and log_end[0] < 0:", DAMAGE),
    Mutant("recovery: the torn end is not cut", "lsm/recovery.py",
           "file.truncate(reader.good)", "pass", f"{CRASH} {EVERY_CALL} -k every_call"),
    Mutant("recovery: segments behind the torn one stay", "lsm/recovery.py",
           "for number in reversed(later):\n        state.filesystem.unlink",
           "for number in ():\n        state.filesystem.unlink",
           f"{CRASH}::test_without_syncs_a_power_cut_leaves_a_prefix "
           f"{EVERY_CALL} {LOG}"),
    Mutant("open: runs without a manifest are a new store", "lsm/recovery.py",
           "if strays:", "if strays is None:", DAMAGE),
    Mutant("open: no lock", "lsm/recovery.py",
           "fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass", STORE),
    # Checksums and sizes of what is read (rules 3, 7, 12).
    Mutant("log: record checksum", "lsm/log.py",
           "if crc32c(memoryview(data)[at + 8 : at + size], _MAGIC_CRC) != crc:", "if False:",
           f"{DAMAGE} {CRASH}"),
    Mutant("log: head checksum", "lsm/log.py",
           "if crc32c(data[16 : _FILE_HEAD.size], crc32c(data[:12])) != crc or magic",
           "if magic", DAMAGE),
    Mutant("log: of another store", "lsm/log.py",
           "if (of_store, number) != (store, segment) or any(zeros):", "if False:",
           f"{FUZZ} {DAMAGE} {HOSTILE}"),
    Mutant("log: commits in sequence", "lsm/log.py",
           "if sequence is not None and number != sequence:", "if False:",
           HOSTILE),
    Mutant("log: synced beyond itself", "lsm/log.py",
           "if synced > at:", "if False:", HOSTILE),
    Mutant("manifest: checksum", "lsm/manifest.py",
           "if crc32c(data[20:], crc32c(data[:16])) != crc or size", "if size", DAMAGE),
    Mutant("manifest: contradictions", "lsm/manifest.py",
           "if not sound:", "if False:", HOSTILE),
    Mutant("run: footer checksum", "lsm/footer.py",
           "if crc32c(data[:-4]) != footer.crc or footer.magic", "if footer.magic", DAMAGE),
    Mutant("run: footer contradictions", "lsm/footer.py",
           "if not sound:", "if False:", f"{FUZZ} {HOSTILE}"),
    Mutant("run: of another manifest", "lsm/runfile.py",
           "if (footer.crc, size, footer.rows) != (self.record.crc, self.record.size, "
           "self.record.rows):", "if False:", DAMAGE),
    Mutant("run: index and filter checksums", "lsm/runfile.py",
           "if crc32c(data) != crc:", "if False:", DAMAGE),
    Mutant("run: keys the manifest says", "lsm/runs.py",
           "if (run.min_key, run.max_key) != (body.record.min_key, body.record.max_key):",
           "if False:", HOSTILE),
    Mutant("run: blocks inside the file", "lsm/runfile.py",
           "if start % ALIGN or start < HEAD.size or start + size > self.footer.index_offset:",
           "if False:", HOSTILE),
    Mutant("run: block checksum", "lsm/runfile.py",
           "if crc32c(part) != crc:", "if False:", DAMAGE),
    Mutant("run: rows of a block", "lsm/runfile.py",
           "if len(block) != rows:", "if False:", HOSTILE),
    Mutant("run: cut short", "lsm/runfile.py",
           "if len(data) != size:\n            raise Corrupt(f\"{self.path} ends",
           "if False:\n            raise Corrupt(f\"{self.path} ends",
           f"{DAMAGE} {HOSTILE}"),
    Mutant("codec: the size that was said", "lsm/codecs.py",
           "if written != size:", "if False:", HOSTILE),
    Mutant("ingest: blocks are not checked", "lsm/transfer.py",
           "if problem is not None:", "if False:", STORE),
    Mutant("merge: rows in are the files' rows", "lsm/maintenance.py",
           "if merge.rows_in != rows:", "if False:", COPIES),
    Mutant("writer: keys ascend from batch to batch", "lsm/writer.py",
           "elif first <= self._last_key:", "elif False:", STORE),
    # Visibility (rules 10, 11).
    Mutant("publish: an older capture hides a newer one", "lsm/state.py",
           "and sequence >= self.published", "and True", STORE),
    Mutant("publish: a capture of sealed memtables counts", "lsm/state.py",
           "if generation == self.segment and", "if True and", STORE),
    Mutant("move: a file that newer ranges delete from", "lsm/maintenance.py",
           "and not _touches(masks[group[0].layer], record)", "and True", f"{META} {MACHINE}"),
    Mutant("move: deletes reach the bottom", "lsm/maintenance.py",
           "and not (bottom and (record.deletes or footer.merges))", "and True",
           f"{STORE} {META} {MACHINE}"),
    Mutant("merges wait for flushes for ever", "lsm/beats.py",
           "return self._owed > 0", "return False", PRESSURE),
    Mutant("merges take all that they can", "lsm/beats.py",
           "self._owed = max(-size, self._owed - size)", "pass", PRESSURE),
    Mutant("writers are not delayed", "lsm/pressure.py",
           "return max(_SLOWEST, drain * factor)", "return math.inf", PRESSURE),
    Mutant("writers wait only when memory is full", "lsm/pressure.py",
           "self.next_write = max(self._now(), self.next_write) + size / rate", "pass", PRESSURE),
    Mutant("run: a write that failed before the last sync is forgotten", "lsm/writer.py",
           "        self._behind.grown(self._file, end)",
           "        try:\n            self._behind.grown(self._file, end)\n"
           "        except OSError:\n            pass", FAULTS),
    # Nobody waits for what others have to do.
    Mutant("graves: a file that somebody has open is cut", "lsm/graves.py",
           " or not _open_once(file.fileno())", "", "tests/lsm/test_lsm_stalls.py"),
    Mutant("graves: a file that a checkpoint names is cut", "lsm/graves.py",
           "if found.st_nlink or not", "if not", "tests/lsm/test_lsm_stalls.py"),
    Mutant("graves: the last reader closes", "lsm/runfile.py",
           "self.grave.take(self.file)", "pass", STALLS),
    Mutant("edit: commits wait for the manifest", "lsm/edits.py",
           "    state.editing = True\n    state.write_manifest(disk=disk)",
           "    state.editing = True\n    with state.lock:\n"
           "        state.write_manifest(disk=disk)", STALLS),
    Mutant("scheduler: who sleeps is never asked", "lsm/scheduler.py",
           "                        self._look_at_all()", "                        pass", STALLS),
    # Kernels: bounds.
    Mutant("block: columns inside it", "kernels/lsm_blocks.pyx",
           "if at[0] > end or size > end - at[0]:", "if at[0] > end + 4096:", f"{GUARD} {FUZZ}"),
    Mutant("block: the table names rows that are there", "kernels/lsm_blocks.pyx",
           "if greatest > view.rows:", "if False:", f"{GUARD} {FUZZ}"),
    Mutant("block: a search ends", "kernels/lsm_blocks.pyx",
           "if taken == slots:", "if False:",
           f"{HOSTILE} {GUARD}"),
    Mutant("block: offsets ascend", "kernels/lsm_blocks.pyx",
           "bad |= offsets[row + 1] < offsets[row]", "bad |= 0", f"{GUARD} {FUZZ}"),
    Mutant("block: kinds are known", "kernels/lsm_blocks.pyx",
           "if view.kinds[i] > MERGE:", "if False:", HOSTILE),
    Mutant("block: strictly ascending when written", "kernels/lsm_block_writer.pyx",
           "                         row.key, row.key_size) >= 0:",
           "                         row.key, row.key_size) > 1:", HOSTILE),
    Mutant("batch: columns inside it", "kernels/lsm_batch.pyx",
           "if position[0] > end or bytes_in > <uint64_t>(end - position[0]):",
           "if position[0] > end + 4096:", HOSTILE),
    Mutant("batch: offsets ascend", "kernels/lsm_batch.pyx",
           "bad |= offsets[0][row + 1] < offsets[0][row]", "bad |= 0", f"{GUARD} {FUZZ}"),
    Mutant("batch: sizes of all of it", "kernels/lsm_batch.pyx",
           "if total < OP_HEADER or total > <uint64_t>(size - position) or total & 7:",
           "if total < OP_HEADER or total & 7:", f"{GUARD} {FUZZ}"),
    Mutant("index: the size it says", "kernels/lsm_run.pyx",
           "if self.block_count == 0 or need != size or len(bits) & 63:",
           "if self.block_count == 0 or len(bits) & 63:", FUZZ),
    Mutant("index: offsets ascend", "kernels/lsm_run.pyx",
           "if self.key_offsets[i + 1] < self.key_offsets[i]:", "if False:", FUZZ),
    Mutant("column: offsets inside its data", "kernels/lsm_rows.pyx",
           "bad |= narrow[0] < 0 or narrow[self.length] > self.data_buffer.len", "bad |= 0", ROWS),
    Mutant("column: enough fixed-size data", "kernels/lsm_rows.pyx",
           "if self.data_buffer.len < (first + length) * width:", "if False:", ROWS),
    Mutant("column: enough offsets", "kernels/lsm_rows.pyx",
           "if self.offsets_buffer.len < (first + length + 1) * (4 if width == -1 else 8):",
           "if False:", ROWS),
    Mutant("column: enough validity", "kernels/lsm_rows.pyx",
           "if self.validity_buffer.len < (first + length + 7) >> 3:", "if False:", ROWS),
    # Kernels: versions and lifetimes.
    Mutant("memtable: rows beyond the mark are seen", "kernels/lsm_memtable.pyx",
           "while index > mark:", "while index > mark and index == 0:", f"{MEMTABLE} {ROWS}"),
    Mutant("memtable: a row that is not above the last is in order", "kernels/lsm_memtable.pyx",
           "target.key, target.key_size) >= 0:\n                        break",
           "target.key, target.key_size) > 1:\n                        break", MEMTABLE),
    Mutant("memtable: a row of equal width not above the last is in order",
           "kernels/lsm_memtable.pyx", "compare(row.key - width, width, row.key, width) >= 0",
           "compare(row.key - width, width, row.key, width) > 0", f"{MEMTABLE} {ROWS}"),
    Mutant("memtable: a batch of equal width need not follow the last", "kernels/lsm_memtable.pyx",
           "if last != NULL and compare(last.key, last.key_size, row.key, row.key_size) >= 0:",
           "if last != NULL and compare(last.key, last.key_size, row.key, row.key_size) > 1:",
           f"{MEMTABLE} {ROWS}"),
    Mutant("memtable: readers forget what is not indexed", "kernels/lsm_memtable.pyx",
           "if indexed < mark:", "if indexed < mark and indexed == 0:", MEMTABLE),
    Mutant("memtable: disorder does not index what was in order", "kernels/lsm_memtable.pyx",
           "if self._index_to(<uint64_t>self.rows) < 0:", "if False:", MEMTABLE),
    Mutant("lookup: values of blocks that go are not copied", "kernels/lsm_lookup.pyx",
           "if own and row.kind", "if False and row.kind", f"{MACHINE} {META} {STORE}"),
    Mutant("direct: block checksum", "kernels/lsm_disk.pyx",
           "crc_without_gil(data, size, 0) == entry[5]", "True", DIRECT),
    Mutant("direct: rows of a block", "kernels/lsm_disk.pyx",
           "and view.rows == entry[4])", ")", HOSTILE),
    Mutant("direct: blocks inside the file", "kernels/lsm_disk.pyx",
           "or offset > file.data_end or entry[2] > file.data_end - offset", "", DIRECT),
    Mutant("direct: cut short", "kernels/lsm_disk.pyx",
           "return found if got == need else 0", "return found", DIRECT),
    Mutant("direct: the room that there is", "kernels/lsm_disk.pyx",
           "or entry[2] > <uint64_t>(size - need)", "", DIRECT),
    Mutant("direct: a block has one reader", "kernels/lsm_cold.pyx",
           "        if first == end:\n            continue\n", "", DIRECT),
    Mutant("direct: a block's keys stay together", "kernels/lsm_cold.pyx",
           "while end < hunt.end and hunt.blocks[end]", "while False and hunt.blocks[end]", DIRECT),
    Mutant("direct: nobody leaves before the helpers", "kernels/lsm_crew.pyx",
           "    while task.inside:\n", "    while False:\n", DIRECT),
    Mutant("evicted blocks go while they are read", "kernels/lsm_run.pyx",
           "if _readers[0] or _readers[1]:", "if False:", ROWS),
    Mutant("arena: a slab goes before its pieces", "kernels/lsm_arena.pyx",
           "    piece.slab = self.slab\n        piece.data = self.slab.data",
           "    piece.data = self.slab.data", MEMTABLE),
)  # fmt: skip


def prepared(mutant: Mutant, place: Path) -> Path:
    """A copy of the source with the change made, kernels rebuilt."""
    shutil.copytree(
        ROOT / "src", place / "src", ignore=shutil.ignore_patterns("*.c", "__pycache__", "*.egg*")
    )
    target = place / "src" / "mainstem" / mutant.file
    text = target.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.what}: {mutant.file} has changed, bring the list up to date")
    target.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    if target.suffix == ".pyx":
        setup = (ROOT / "setup.py").read_text("utf-8").replace('"*.pyx"', f'"{target.name}"')
        (place / "setup.py").write_text(setup, "utf-8")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, place)
        subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
            cwd=place, check=True, capture_output=True,
        )  # fmt: skip
    return place / "src"


def noticed(mutant: Mutant) -> str:
    """Who went red; empty if nobody did."""
    with tempfile.TemporaryDirectory() as name:
        source = prepared(mutant, Path(name))
        environment = {**os.environ, "PYTHONPATH": str(source), "TMPDIR": name}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, *mutant.tests.split()],
                cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "it never ended"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    red = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return red[0].partition(" - ")[0] if red else f"code {done.returncode}: {done.stdout[-300:]}"


def main() -> int:
    words = sys.argv[1:]
    chosen = [each for each in MUTANTS if not words or any(word in each.what for word in words)]
    survivors = 0
    with ThreadPoolExecutor(2) as pool:
        for mutant, who in zip(chosen, pool.map(noticed, chosen), strict=True):
            survivors += not who
            print(f"{'red ' if who else 'SURVIVES'} {mutant.what}: {who}", flush=True)  # noqa: T201
    print(f"{len(chosen)} changes, {survivors} that no test noticed")  # noqa: T201
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
