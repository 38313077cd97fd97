import subprocess
import sys

import numpy as np
import pytest
from known import known

from core.rivals import RIVALS

CLASSES = ["invoice", "letter", "recipe"]
SHOTS = [known(name, index) for name in CLASSES for index in range(4)]
TESTED = [known(name, index) for name in CLASSES for index in range(10, 15)]


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_learns_classes_that_differ_in_their_words(name: str) -> None:
    classes, probabilities = RIVALS[name](SHOTS, TESTED, 0)
    assert classes == CLASSES
    assert probabilities.shape == (15, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    right = [classes[row.argmax()] == document.truth for row, document in zip(probabilities, TESTED, strict=True)]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("name", RIVALS)
def test_a_seed_says_the_same_twice(name: str) -> None:
    first, again = (RIVALS[name](SHOTS, TESTED, 3)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_nothing_but_a_rival_at_work_loads_scikit_learn() -> None:
    code = "import sys, core.rivals, core.few_shot; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
