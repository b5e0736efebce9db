"""Every command is stopped at many points: it exits 75 in time, keeps what is done, and the same command goes on."""

import itertools
import random

import pytest

from tests.scene import CASES, Case, contents_of, half_in_sight
from tests.support import ROUNDS, write_maps

pytestmark = pytest.mark.long

SIGNALS = (["SIGTERM"], ["SIGINT"], ["SIGCONT", "SIGTERM"])
"""Slurm sends SIGCONT first, so that a suspended job hears the other."""
STOPPED = 75
IN_TIME = 10
"""Seconds. A scheduler kills what has not ended by then."""
POINTS, MOMENTS = 3, 3
SEED = 19
MORE = {
    "gradcam": Case("gradcam segments --model net --name killed", 0),
    "occlusion": Case("occlusion masks --model net --name killed", 0),
    "contrast": Case("contrast first --class rosacea --versus normal --name killed", 0),
    "compare": Case("compare first second --name killed", 0),
    "evaluate": Case(f"evaluate net --bootstrap {ROUNDS} --name killed", 0),
    "import-maps": Case("import-maps segments --model net --maps {out}/maps --name killed", 0),
}
"""Stages that no kill is tried on."""
STOPS = CASES | MORE


def copy(scene, name, case):
    """Return a fresh copy of the store, with what the case reads beside it."""
    place = scene.copy(name, case)
    if "{out}/maps" in case.words:
        write_maps(scene.folder / "faces", place / "out" / "maps")
    return place


@pytest.mark.parametrize("name", STOPS)
def test_a_stopped_command_ends_in_time_and_goes_on(scene, name):
    case, rng = STOPS[name], random.Random(SEED)
    straight = copy(scene, "straight", case)
    done = scene.must(case.words, straight)
    for words in case.after:
        scene.must(words, straight)
    contents = contents_of(straight)
    points = sorted({1, *rng.sample(range(1, done["changes"] + 1), min(POINTS, done["changes"]))})
    hows = [{"stop_at": point} for point in points]
    hows += [{"stop_after": rng.uniform(0.02, done["seconds"])} for _ in range(MOMENTS)]
    for how, signals in zip(hows, itertools.cycle(SIGNALS), strict=False):
        place = copy(scene, "stopped", case)
        first = scene.run(case.words, place, **how, signals=signals)
        ended = first["seconds"] - how.get("stop_after", done["seconds"])
        # What is asked to stop at some time may have ended just before.
        assert first["code"] == STOPPED or ("stop_after" in how and first["code"] == 0), (how, signals, first)
        assert ended < IN_TIME, (how, signals, first)
        assert "Traceback" not in first["err"], first["err"]
        assert half_in_sight(place) == [], how
        if first["code"] == STOPPED:
            # Before a command has begun there is nobody to say it.
            assert "stop_after" in how or f"stopped ({signals[-1]})" in first["err"], first
            # Who resumes on another machine would wait for a sign of life.
            assert list((place / "store").glob("*/*/claims/[0-9]*")) == [], how
        again = scene.run(case.words, place)
        assert again["code"] == 0 or (case.finished and case.finished in again["err"]), (how, again)
        for words in case.after:
            scene.must(words, place)
        if case.repeatable:
            assert contents_of(place) == contents, how
