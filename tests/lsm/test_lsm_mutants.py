"""The list of changes that tests must notice keeps up with the code."""

from __future__ import annotations

import pytest
from lsm_mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_safety_check_is_where_its_mutant_looks_for_it(mutant: Mutant) -> None:
    text = (ROOT / "src" / "mainstem" / mutant.file).read_text("utf-8")
    assert text.count(mutant.old) == 1, mutant.file
    for test in mutant.tests.split():
        if test.startswith("tests/"):
            assert (ROOT / test.partition("::")[0]).exists(), test
