"""Opening a partition: trust a clean shutdown, or find out what survived.

After an unclean stop everything from the recovery point on is read again: each batch must be
whole, pass its CRC and continue the offsets. The first that does not is where the log ends; the
rest is cut off. Before the recovery point, which only advances after an fdatasync, the same
finding is corruption: the partition is refused and nothing is changed.
"""

from __future__ import annotations

from mainstem.errors import Corrupt
from mainstem.kernels import BatchHeader
from mainstem.log import checkpoints
from mainstem.log.config import LogConfig
from mainstem.log.epochs import LeaderEpochs
from mainstem.log.indexes import IndexFileError
from mainstem.log.producers import Producers
from mainstem.log.scan import TornLogError, scan
from mainstem.log.segment import Segment
from mainstem.log.snapshots import SUFFIX, SnapshotError, read_snapshot, snapshot_offsets
from mainstem.log.storage import Environment, Storage

_KAFKA_STORAGE_ERROR = 56


def create(directory: str, environment: Environment) -> Storage:
    """A new, empty partition in ``directory``, durable when this returns."""
    filesystem = environment.filesystem
    filesystem.mkdir(directory)
    storage = Storage(directory, environment)
    segment = storage.new_segment(0)
    segment.create(environment.clock.now_ms())
    storage.add(segment)
    storage.epochs.assign(0, 0)
    storage.epochs.save(filesystem, directory)  # also makes the segment's name durable
    return storage


def load(directory: str, environment: Environment, config: LogConfig) -> tuple[Storage, bool]:
    """Open what is in ``directory``; says whether it was shut down cleanly.

    Raises ``Corrupt`` with path and offset.
    """
    filesystem = environment.filesystem
    # Whoever was killed here may have left names that are seen but not durable; nothing may be
    # unlinked on the word of a checkpoint that a power cut could still take back.
    filesystem.fsync_directory(directory)
    storage = Storage(directory, environment)
    storage.epochs = LeaderEpochs.load(filesystem, directory)
    read = checkpoints.read_numbers
    start = read(filesystem, directory, checkpoints.LOG_START_OFFSET)
    point = read(filesystem, directory, checkpoints.RECOVERY_POINT)
    storage.log_start_offset = start["offset"] if start else 0
    storage.recovery_point = point["offset"] if point else 0
    _find_segments(storage)
    if _trust(storage, config):
        return storage, True
    _recover(storage, config)
    return storage, False


def _find_segments(storage: Storage) -> None:
    """List segments; unlink those wholly before the log start offset, and unfinished files."""
    filesystem, directory = storage.environment.filesystem, storage.directory
    names = filesystem.listdir(directory)
    for name in names:
        if name.endswith(".tmp"):
            filesystem.unlink(f"{directory}/{name}")
        stem, dot, suffix = name.partition(".")
        if dot and suffix == "log" and len(stem) == 20 and stem.isdecimal():
            segment = storage.new_segment(int(stem))
            segment.size = filesystem.size(segment.path)
            storage.add(segment)
    while len(storage.bases) > 1 and storage.bases[1] <= storage.log_start_offset:
        storage.remove_first(1)
    start = storage.log_start_offset
    if storage.bases[0] > start if storage.bases else max(storage.recovery_point, start):
        raise Corrupt(
            f"{directory}: no segment holds the log start offset {start}; restore the missing "
            "files or delete the partition",
            code=_KAFKA_STORAGE_ERROR,
        )
    if not storage.bases:  # stopped while it was being made
        segment = storage.new_segment(0)
        segment.create(storage.environment.clock.now_ms())
        storage.add(segment)


def _trust(storage: Storage, config: LogConfig) -> bool:
    """Load the state of a clean shutdown, if that is what happened last."""
    filesystem, active = storage.environment.filesystem, storage.active
    try:
        marker = checkpoints.read_numbers(filesystem, storage.directory, checkpoints.CLEAN_SHUTDOWN)
    except Corrupt:
        return False  # a torn marker only costs a scan
    if marker is None or (marker["active_base"], marker["active_size"]) != (
        active.base_offset,
        active.size,
    ):
        return False
    storage.log_end_offset = marker["log_end_offset"]
    try:
        active.load_indexes()
    except (IndexFileError, FileNotFoundError):
        active.rebuild_indexes(config.index_interval_bytes)
    active.pinned = True
    _first_timestamp(active)
    try:
        storage.producers = read_snapshot(filesystem, storage.directory, storage.log_end_offset)
    except (SnapshotError, FileNotFoundError):
        _replay_producers(storage, storage.log_end_offset)
    return True


def _first_timestamp(segment: Segment) -> None:
    """What rolling by time counts from (Kafka: the first batch's largest timestamp)."""
    for placed in segment.batches():
        segment.first_timestamp = placed.max_timestamp
        return


def _recover(storage: Storage, config: LogConfig) -> None:
    environment = storage.environment
    # The segment that ends at the recovery point may have been sealed after it was set.
    slot = storage.slot(storage.recovery_point - 1)
    expected = storage.bases[slot]
    _replay_producers(storage, expected)
    scanned = []
    while slot < len(storage.segments):
        segment = storage.segments[slot]
        if segment.base_offset != expected:
            break  # what came before lost its end
        expected, whole = _recover_segment(storage, segment, config)
        scanned.append(segment)
        slot += 1
        if not whole:
            break
    # The start only moves past what is durable, and over names that are.
    durable = max(storage.recovery_point, storage.log_start_offset)
    if expected < durable:
        raise Corrupt(
            f"{scanned[-1].path}: the log ends at offset {expected} but everything up to "
            f"{durable} was durable; restore it or delete the partition",
            code=_KAFKA_STORAGE_ERROR,
        )
    for segment in reversed(storage.segments[slot:]):
        storage.unlink(segment)
    del storage.segments[slot:], storage.bases[slot:]
    storage.log_end_offset = expected
    _settle(storage, scanned)
    storage.active.created_ms = environment.clock.now_ms()


def _recover_segment(storage: Storage, segment: Segment, config: LogConfig) -> tuple[int, bool]:
    """Check every batch, build indexes and state; returns the end offset and if all was well."""
    size, expected = segment.size, segment.base_offset
    # After a failed fdatasync the page cache shows bytes that never reached the disk, and calls
    # them clean; whoever crashed before us may have seen that. Look at the disk itself.
    segment.file().drop_cache()
    now_ms = storage.environment.clock.now_ms()
    segment.activate()
    segment.first_timestamp = None
    epoch = -1
    try:
        for header in scan(segment, size, verify=True):
            # The CRC covers neither, so a page that was lost must show here.
            if header.base_offset != expected or header.leader_epoch < epoch:
                raise TornLogError(
                    f"a batch with offset {header.base_offset} and epoch {header.leader_epoch}",
                    segment.size,
                )
            epoch = header.leader_epoch
            _remember(storage.producers, header, now_ms)
            storage.epochs.assign(header.leader_epoch, header.base_offset)
            segment.note(
                header.size, header.last_offset, header.max_timestamp, config.index_interval_bytes
            )
            expected = header.last_offset + 1
    except TornLogError as torn:
        if expected < storage.recovery_point:
            raise Corrupt(
                f"{segment.path}: offset {expected} at byte {segment.size} is damaged ({torn}) "
                f"although everything before offset {storage.recovery_point} was durable; "
                "restore the file or delete the partition",
                code=_KAFKA_STORAGE_ERROR,
            ) from torn
        segment.file().truncate(segment.size)
        return expected, False
    segment.file().truncate(size)  # whoever was killed may have left space reserved behind it
    return expected, True


def _remember(producers: Producers, header: BatchHeader, now_ms: int) -> None:
    if header.producer_id >= 0 and not header.control:
        producers.record(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.base_offset,
            header.last_offset,
            header.max_timestamp if header.log_append_time else -1,
            now_ms,
        )


def _replay_producers(storage: Storage, up_to: int) -> None:
    """Producer state below ``up_to``: the newest fit snapshot and the headers after it."""
    environment = storage.environment
    filesystem, directory = environment.filesystem, storage.directory
    offset = storage.bases[0]
    for candidate in reversed(snapshot_offsets(filesystem.listdir(directory))):
        if offset <= candidate <= up_to:
            try:
                storage.producers = read_snapshot(filesystem, directory, candidate)
            except SnapshotError:
                continue
            offset = candidate
            break
    now_ms = environment.clock.now_ms()
    for segment in storage.segments[storage.slot(offset) :]:
        if segment.base_offset >= up_to:
            break
        try:
            for header in scan(segment, segment.size, verify=False):
                if offset <= header.base_offset < up_to:
                    _remember(storage.producers, header, now_ms)
        except TornLogError as torn:
            raise Corrupt(
                f"{segment.path} is damaged ({torn}) before offset {up_to}, which was durable; "
                "restore the file or delete the partition",
                code=_KAFKA_STORAGE_ERROR,
            ) from torn


def _settle(storage: Storage, scanned: list[Segment]) -> None:
    """Make what was found durable, and begin a new leader epoch so that clients notice."""
    filesystem, directory = storage.environment.filesystem, storage.directory
    end_offset = storage.log_end_offset
    for offset in snapshot_offsets(filesystem.listdir(directory)):
        if offset > end_offset:
            filesystem.unlink(f"{directory}/{offset:020d}{SUFFIX}")
    for segment in scanned:
        if segment is not storage.active:
            segment.seal()
            segment.sync_indexes()
        segment.file().fdatasync()
    latest = storage.epochs.latest
    storage.epochs.truncate_end(end_offset)
    storage.epochs.assign(latest + 1, end_offset)
    storage.epochs.save(filesystem, directory)  # syncs the names above, too
    storage.recovery_point = end_offset
    checkpoints.write_numbers(filesystem, directory, checkpoints.RECOVERY_POINT, offset=end_offset)
