"""Learning rates, epoch by epoch."""

from functools import partial

import pytest

from facelime_cli.training.recipes import SCHEDULES


def test_plateau_lowers_the_rate_when_the_loss_stays():
    entry = SCHEDULES["plateau"]
    plateau = partial(entry.load(), **entry.settings)
    assert plateau(1.0, 5, 9, [3, 2, 1, 0.5]) == 1.0
    assert plateau(1.0, 5, 9, [1, 1, 1, 1]) == pytest.approx(0.3)
    assert plateau(1.0, 9, 9, [1, 1, 1, 1, 1, 1, 1]) == pytest.approx(0.09)
