"""Time `fit-surrogate` against scikit-learn's `Ridge` fitted class by class, which gives coefficients alone.

Each picture has 1,000 samples, 60 segments and 7 classes. Its masks are those that the surrogate needs. Its answers
come from a saturating function with noise. "coefficients" is one fit of all classes. "everything" adds what a report
shows: intervals, the chance that signs and strongest segments repeat, R² and error by cross-fitting, and verdicts.
Everything runs in one thread, as in the stage.

Machines are noisy. So all are measured in turns, and compared round by round. A ratio of 2 means twice as fast as
scikit-learn's coefficients.

    python benchmarks/surrogates.py [--pictures 100] [--rounds 5] [--surrogates ridge linear shapley]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from facelime_cli import choices, machine
from facelime_cli.choices import NEAR, PROXIMITIES, SURROGATES
from facelime_cli.core import fidelity, surrogate
from facelime_cli.core.masks import blocks, key_of

if TYPE_CHECKING:
    from facelime_cli.core.linear import Fitter

SAMPLES, SEGMENTS, CLASSES = 1000, 60, 7
TOP = 5
NOISE = 0.02
"""Standard deviation of the noise on an answer, in probability."""


@dataclass(frozen=True)
class Picture:
    """What one picture's surrogate is fitted to."""

    masks: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    weights: NDArray[np.float64]


def pictures(name: str, count: int) -> tuple[list[Picture], NDArray[np.int32]]:
    """Return pictures with the masks and weights that a surrogate needs, and the blocks of their rows."""
    # Shapley values need masks of their own design, whose weights come with it.
    design = "shapley" if name == "shapley" else "bernoulli"
    entry = choices.DESIGNS[design]
    draw = entry.load()
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        key = key_of(number, "bench", "mask")
        masks = draw(key, SAMPLES, SEGMENTS, 0.5)
        effects = rng.normal(size=(SEGMENTS, CLASSES))
        curve = (masks - 0.5) @ effects / 2
        noise = rng.normal(size=curve.shape) * NOISE
        answers = 1 / (1 + np.exp(-curve)) + noise
        if name == "shapley":
            weights = choices.loaded(entry.weights)(masks)
        else:
            weights = surrogate.cosine_weights(masks, PROXIMITIES["cosine"])
        made.append(Picture(masks, answers.astype(np.float32), weights))
    return made, blocks(design, SAMPLES, SEGMENTS)


def everything(name: str, made: list[Picture], of: NDArray[np.int32]) -> float:
    """Return the seconds that the explanations of all pictures take."""
    method = fidelity.Method(fitter(name), "analytic", TOP, 0)
    begun = time.perf_counter()
    for number, each in enumerate(made):
        fidelity.explain(each.masks, each.probabilities, each.weights, of, method, str(number))
    return time.perf_counter() - begun


def coefficients(name: str, made: list[Picture]) -> float:
    """Return the seconds that one fit of each picture takes, all classes at once."""
    fit = fitter(name)
    begun = time.perf_counter()
    for each in made:
        z = each.masks.astype(np.float64)
        y = each.probabilities.astype(np.float64)
        fit(z, y, each.weights)
    return time.perf_counter() - begun


def scikit_learn(made: list[Picture]) -> float:
    """Return the seconds that scikit-learn takes for the coefficients, class by class."""
    begun = time.perf_counter()
    for each in made:
        for c in range(CLASSES):
            z = each.masks.astype(np.float64)
            y = each.probabilities[:, c].astype(np.float64)
            Ridge(alpha=1).fit(z, y, sample_weight=each.weights)
    return time.perf_counter() - begun


def fitter(name: str) -> Fitter:
    """Return a surrogate with its defaults."""
    settings = SURROGATES[name].settings
    # The settings of the weights are no keywords of a surrogate.
    own = {key: value for key, value in settings.items() if key not in NEAR}
    return surrogate.fitter(name, own)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100, help="Fit so many pictures. [default: 100]")
    parser.add_argument("--rounds", type=int, default=5, help="Measure so many times. [default: 5]")
    parser.add_argument(
        "--surrogates",
        nargs="+",
        default=["ridge", "linear", "shapley"],
        choices=list(SURROGATES),
        help="Measure these surrogates. [default: ridge linear shapley]",
    )
    options = parser.parse_args()
    about = machine.hardware()
    print(
        f"{about['processor']}, one thread; {options.pictures} pictures of {SAMPLES:,} samples, "
        f"{SEGMENTS} segments and {CLASSES} classes, medians of {options.rounds} rounds.\n"
    )
    print(
        "| surrogate | scikit-learn, class by class | coefficients | everything "
        "| scikit-learn ÷ coefficients | scikit-learn ÷ everything |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.surrogates:
        made, of = pictures(name, options.pictures)
        with threadpool_limits(1):
            everything(name, made[:1], of)
            rounds = [
                (scikit_learn(made), coefficients(name, made), everything(name, made, of))
                for _ in range(options.rounds)
            ]
        theirs, alone, whole = (statistics.median(each) for each in zip(*rounds, strict=True))
        ratios = [statistics.median(each[0] / each[place] for each in rounds) for place in (1, 2)]
        print(
            f"| {name} | {theirs:.2f} s | {alone:.2f} s | {whole:.2f} s | {ratios[0]:.1f} | {ratios[1]:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
