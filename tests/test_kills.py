"""Every command is killed at many points: nothing half is in sight, the same command goes on, nothing is left over."""

import random

import numpy as np
import pytest
from PIL import Image

from tests.scene import CASES, Case, contents_of, files_of, half_in_sight

pytestmark = pytest.mark.long

KILLED = -9
SEED = 20
SPARE = 2
"""Points that a run need not reach: how often it commits depends on the time."""


def points_of(case, changes, rng):
    """Return the changes before which to kill: the first, the last, and some between."""
    points = range(1, changes + 1)
    chosen = rng.sample(points, min(case.points, changes))
    return sorted({*chosen, 1, changes})


@pytest.mark.parametrize("name", CASES)
def test_a_killed_command_loses_nothing_and_leaves_nothing(scene, name):
    case, rng = CASES[name], random.Random(SEED)
    straight = scene.copy("straight", case)
    done = scene.must(case.words, straight)
    assert done["changes"], "it found everything done"
    for words in case.after:
        scene.must(words, straight)
    scene.must("clean --yes", straight)
    expected, contents = files_of(straight), contents_of(straight)
    hows = [{"kill_at": point} for point in points_of(case, done["changes"], rng)]
    hows += [{"kill_after": rng.uniform(0.02, done["seconds"])} for _ in range(case.moments)]
    killed = 0
    for how in hows:
        place = scene.copy("killed", case)
        first = scene.run(case.words, place, **how)
        killed += first["code"] == KILLED
        assert half_in_sight(place) == [], how
        again = scene.run(case.words, place)
        assert again["code"] == 0 or (case.finished and case.finished in again["err"]), (how, again)
        for words in case.after:
            scene.must(words, place)
        scene.must("clean --yes", place)
        assert files_of(place) == expected, how
        if case.repeatable:
            assert contents_of(place) == contents, how
        assert scene.run("verify", place)["code"] == 0, how
    scene.kills += [name] * killed
    assert killed >= len(hows) - case.moments - SPARE


def test_the_figures_of_kills(scene):
    """Count the kills of this run, so that none is left out without a word."""
    if set(scene.kills) != set(CASES):
        pytest.skip("only some commands were killed in this run")
    assert len(scene.kills) >= 200


def test_a_picture_that_is_left_half_is_seen(scene):
    """The comparison above can fail: a file more, and a manifest less, are both seen."""
    place = scene.copy("seen", Case("", 0))
    before = files_of(place)
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(place / "out" / "half.png")
    assert files_of(place) - before == {"out/half.png"}
    next((place / "store").glob("masks/*/manifest.json")).unlink()
    assert len(half_in_sight(place)) == 1
