"""Time `fit-surrogate` against scikit-learn's `Ridge` fitted class by class, which gives coefficients alone.

Pictures have 1,000 samples, 60 segments and 7 classes: masks as the surrogate needs them, and answers of a saturating
function with noise. "coefficients" is one fit of all classes. "everything" adds what a report shows: intervals, the
chance that signs and strongest segments repeat, R² and error by cross-fitting, verdicts. One thread, as in the stage.

All are measured in alternation and compared round by round, since machines are noisy. A ratio above 1 says how many
times faster than scikit-learn's coefficients.

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


@dataclass(frozen=True)
class Picture:
    """What one picture's surrogate is fitted to."""

    masks: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    weights: NDArray[np.float64]


def pictures(name: str, count: int) -> tuple[list[Picture], NDArray[np.int32]]:
    """Return pictures with the masks and weights that a surrogate needs, and the blocks of their rows."""
    design = "shapley" if name == "shapley" else "bernoulli"
    rng, made = np.random.default_rng(0), []
    for number in range(count):
        masks = choices.DESIGNS[design].load()(key_of(number, "bench", "mask"), SAMPLES, SEGMENTS, 0.5)
        curve = (masks - 0.5) @ rng.normal(size=(SEGMENTS, CLASSES)) / 2
        answers = 1 / (1 + np.exp(-curve)) + rng.normal(size=curve.shape) * NOISE
        weights = (
            choices.loaded(choices.DESIGNS[design].weights)(masks)
            if name == "shapley"
            else surrogate.cosine_weights(masks, PROXIMITIES["cosine"])
        )
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
        fit(each.masks.astype(np.float64), each.probabilities.astype(np.float64), each.weights)
    return time.perf_counter() - begun


def scikit_learn(made: list[Picture]) -> float:
    """Return the seconds that scikit-learn takes for the coefficients, class by class."""
    begun = time.perf_counter()
    for each in made:
        for c in range(CLASSES):
            Ridge(alpha=1).fit(
                each.masks.astype(np.float64), each.probabilities[:, c].astype(np.float64), sample_weight=each.weights
            )
    return time.perf_counter() - begun


def fitter(name: str) -> Fitter:
    """Return a surrogate with its defaults."""
    return surrogate.fitter(name, {key: value for key, value in SURROGATES[name].settings.items() if key not in NEAR})


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--surrogates", nargs="+", default=["ridge", "linear", "shapley"], choices=list(SURROGATES))
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
