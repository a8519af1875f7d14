"""What a store has on disk, its manifest above all, and whether it may still write there."""

from __future__ import annotations

import contextlib
import threading

from mainstem.errors import Closed, Unavailable
from mainstem.filesystem import File, FileSystem
from mainstem.lsm import manifest as manifests
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.footer import file_name
from mainstem.lsm.graves import Graves
from mainstem.lsm.layers import DiskLayer
from mainstem.lsm.manifest import FamilyRecord, LayerRecord, Manifest
from mainstem.lsm.options import StoreOptions, fold_spec
from mainstem.lsm.runs import StoredRun


class Disk:
    """The half of :class:`mainstem.lsm.state.State` that is files."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        options: StoreOptions,
        manifest: Manifest,
        cache: BlockCache,
        lock_file: File,
    ) -> None:
        self.filesystem = filesystem
        self.directory = directory
        self.options = options
        self.manifest = manifest
        self.cache = cache
        self.lock_file: File | None = lock_file
        self.edit_lock = threading.RLock()
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.failure: BaseException | None = None
        self.editing = False  # a new manifest is written, or its consequences are drawn
        self.closed = False
        self.ending = "was closed: open it again"
        self.next_file = manifest.next_file
        self.graves = Graves()
        self.families: dict[int, FamilyRecord] = {each.id: each for each in manifest.families}
        self.specs = {each.id: fold_spec(each.fields) for each in manifest.families}
        self.disk: dict[int, tuple[DiskLayer, ...]] = {}
        for family in manifest.families:
            self.disk[family.id] = tuple(self.open_layer(each) for each in family.layers)

    def check_open(self) -> None:
        if self.closed:
            raise Closed(f"the store at {self.directory} {self.ending}")

    def check_writable(self) -> None:
        """Raises ``Closed``, or ``Unavailable`` after a failure: reads go on, writes do not."""
        self.check_open()
        if self.failure is not None:
            raise Unavailable(
                f"the store at {self.directory} takes no writes since {self.failure!r}: "
                "look after the disk, then open it again"
            ) from self.failure

    def poison(self, error: BaseException) -> None:
        """Take no more writes: what reached the disk is not known any more."""
        with self.lock:
            self.failure = self.failure or error
            self.changed.notify_all()

    def open_layer(
        self, record: LayerRecord, known: dict[int, StoredRun] | None = None
    ) -> DiskLayer:
        """A layer with its files opened, or taken from ``known``."""
        known = known or {}
        files = tuple(
            known.get(file.id) or StoredRun(self.filesystem, self.directory, file, self.cache)
            for file in record.files
        )
        return DiskLayer(record, files)

    def next_number(self) -> int:
        """The number of a new file."""
        with self.lock:
            self.next_file += 1
            return self.next_file - 1

    def write_manifest(
        self,
        *,
        disk: dict[int, tuple[DiskLayer, ...]] | None = None,
        families: dict[int, FamilyRecord] | None = None,
        **changes: object,
    ) -> None:
        """Replace the manifest, durably; the caller holds ``edit_lock``, and not ``lock``.

        ``disk`` and ``families`` are what it is to say, if not what holds now.
        """
        values = {name: getattr(self.manifest, name) for name in self.manifest.__struct_fields__}
        layers = self.disk if disk is None else disk
        records = tuple(
            FamilyRecord(
                each.id,
                each.name,
                each.options,
                each.fields,
                tuple(layer.record for layer in layers.get(each.id, ())),
            )
            for each in (self.families if families is None else families).values()
        )
        values |= {
            "edit": self.manifest.edit + 1,
            "next_file": self.next_file,
            "families": records,
            "log_end": None,
        }
        new = Manifest(**(values | changes))
        manifests.write(self.filesystem, self.directory, new)
        self.manifest = new

    def remove_files(self, files: list[StoredRun]) -> None:
        """Unlink runs the manifest no longer names; readers keep theirs open."""
        for file in files:
            loaded = file.loaded()
            if loaded is not None:
                self.cache.forget(loaded)
            file.body.grave = self.graves  # which takes it when the last reader is gone
            with contextlib.suppress(OSError):  # the next open does it
                self.filesystem.unlink(f"{self.directory}/{file_name(file.record.id)}")

    def unlink(self, name: str) -> None:
        """Remove a file that nobody reads; if the disk refuses, the next open does it."""
        path = f"{self.directory}/{name}"
        try:
            file = self.filesystem.open(path)
            self.filesystem.unlink(path)
        except OSError:
            return
        self.graves.take(file)
