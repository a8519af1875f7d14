"""A store's families: made, found, and given their merge state; each change is a manifest."""

from __future__ import annotations

from mainstem.errors import Conflict, Invalid, Unavailable
from mainstem.lsm.manifest import FamilyRecord
from mainstem.lsm.options import FamilyOptions, Field, fold_spec
from mainstem.lsm.state import State


def find_or_create(
    state: State, name: str, wanted: FamilyOptions, *, exactly: bool, create: bool
) -> int:
    """The number of family ``name``; ``exactly``: its options must be those wanted.

    Raises ``Conflict`` if they are not, ``Invalid`` if there is none and none is to be made.
    """
    with state.write_lock, state.edit_lock:
        state.check_open()
        for each in state.families.values():
            if each.name == name:
                if exactly and each.options != wanted:
                    raise Conflict(f"family {name!r} exists with {each.options!r}")
                return each.id
        if not create:
            names = sorted(each.name for each in state.families.values())
            raise Invalid(f"there is no family {name!r}: there are {names}")
        number = max(state.families) + 1
        if number >= 1 << 16:
            raise Invalid("a store has at most 65,535 families over its life")
        _change(state, {**state.families, number: FamilyRecord(number, name, wanted)})
        return number


def declare_fields(state: State, number: int, fields: tuple[Field, ...]) -> None:
    """Fix the merge state of a family, which must be empty until then."""
    if state.families[number].fields == fields:
        return
    with state.write_lock, state.edit_lock:
        family = state.families[number]
        if family.fields == fields:
            return
        if family.fields:
            raise Conflict(
                f"family {family.name!r} merges {_described(family.fields)}, not "
                f"{_described(fields)}: use a family of its own for each"
            )
        view = state.view[number]
        if view.disk or any(mark for _, mark in view.memory):
            raise Invalid(f"family {family.name!r} holds rows already: merge into an empty family")
        record = FamilyRecord(number, family.name, family.options, fields)
        _change(state, {**state.families, number: record})


def _described(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{each.name} ({each.operation} of {each.type})" for each in fields)


def _change(state: State, families: dict[int, FamilyRecord]) -> None:
    state.check_writable()
    try:
        state.write_manifest(families=families)
    except OSError as error:
        state.poison(error)
        raise Unavailable(f"a family of {state.directory} cannot change: {error}") from error
    with state.lock:
        state.disk = {number: state.disk.get(number, ()) for number in families}
        state.specs = {number: fold_spec(each.fields) for number, each in families.items()}
        state.families = families
        state.rebuild()
