"""Edits of what a store has on disk: each one manifest, and files unlinked only after it.

An edit holds ``edit_lock`` from the first look to the end. The manifest is written without
``lock``, which writers take for every commit: they must not wait for its syncs.
"""

from __future__ import annotations

from mainstem.errors import Conflict
from mainstem.lsm.choosing import covered_files
from mainstem.lsm.layers import DiskLayer
from mainstem.lsm.log import segment_name
from mainstem.lsm.manifest import LayerRecord
from mainstem.lsm.runs import StoredRun
from mainstem.lsm.state import Generation, State

Layers = tuple[DiskLayer, ...]


def install(state: State, family: int, layers: Layers) -> None:
    """Make ``layers`` those of ``family``, on disk and then for readers."""
    disk = {**state.disk, family: layers}
    state.editing = True
    state.write_manifest(disk=disk)
    with state.lock:
        state.disk = disk
        state.rebuild()
        state.changed.notify_all()
    state.editing = False


def install_flush(
    state: State, generations: tuple[Generation, ...], layers: dict[int, LayerRecord]
) -> None:
    """Put flushed runs in place of ``generations``, the oldest that wait."""
    last = generations[-1]
    with state.edit_lock:
        first_segment = state.manifest.log_from
        dropped: list[StoredRun] = []
        disk = dict(state.disk)
        for family, record in layers.items():
            new = state.open_layer(record)
            gone = covered_files(disk[family], new.ranges)
            disk[family] = (new, *_without(disk[family], gone, dropped))
        state.editing = True
        state.write_manifest(
            disk=disk, log_from=last.segment + 1, sequence=last.sequence, position=last.position
        )
        with state.lock:
            state.disk = disk
            state.frozen = state.frozen[len(generations) :]
            state.flushed_bytes = 0.0
            state.rebuild()
            state.changed.notify_all()
        state.editing = False
    state.remove_files(dropped)
    for segment in range(first_segment, last.segment + 1):
        state.unlink(segment_name(segment))


def _without(layers: Layers, gone: set[int], dropped: list[StoredRun]) -> Layers:
    """``layers`` without files ``gone``, which are added to ``dropped``."""
    kept: list[DiskLayer] = []
    for layer in layers:
        if layer.busy or not any(file.record.id in gone for file in layer.files):
            kept.append(layer)
            continue
        dropped += [file for file in layer.files if file.record.id in gone]
        files = tuple(file for file in layer.files if file.record.id not in gone)
        if files or layer.ranges.count:
            record = LayerRecord(
                layer.level, tuple(file.record for file in files), layer.record.ranges
            )
            kept.append(DiskLayer(record, files))
    return tuple(kept)


def drop_files(state: State, family: int, gone: set[int]) -> int:
    """Take expired files out of the store. Returns how many went."""
    dropped: list[StoredRun] = []
    with state.edit_lock:
        kept = _without(state.disk[family], gone, dropped)
        if dropped:
            install(state, family, kept)
    state.remove_files(dropped)
    return len(dropped)


def install_merge(state: State, family: int, inputs: Layers, record: LayerRecord | None) -> None:
    """Put ``record`` in the place of ``inputs``."""
    with state.edit_lock:
        layers = state.disk[family]
        start = layers.index(inputs[0])
        if layers[start : start + len(inputs)] != inputs:
            raise Conflict("layers changed while they were merged: this is a defect")
        known = {file.record.id: file for layer in inputs for file in layer.files}
        new = () if record is None else (state.open_layer(record, known),)
        install(state, family, (*layers[:start], *new, *layers[start + len(inputs) :]))
    kept = {file.record.id for layer in new for file in layer.files}
    state.remove_files([file for number, file in known.items() if number not in kept])
