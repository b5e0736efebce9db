"""How often an interval of the bootstrap holds the true AUC when few pictures have a finding.

A rule of `evaluate` comes from here: with fewer than ten groups that have a finding, its figures say nothing.
Scores are drawn from two normal distributions, so that the true AUC is known.

    python benchmarks/few_positives.py [--sets 2000]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy.stats import norm

from facelime_cli.core import findings, metrics

POSITIVES = (2, 3, 5, 10, 20, 50)
NEGATIVES = 200
AREAS = (0.7, 0.8, 0.9)
ROUNDS = 500


def interval_of(scores: np.ndarray, present: np.ndarray, seed: int) -> list[float] | None:
    """Return the interval of the area under the ROC curve, every picture a group of its own."""
    groups = [f"{number:04d}" for number in range(len(scores))]
    rounds = metrics.rounds_by_group(groups, ROUNDS, seed)
    ranking = findings.Ranking.of(present.astype(np.int8), scores)
    area, _ = findings.area_and_precision(ranking, rounds.T.astype(np.float64))
    return metrics.interval(area)


def measure(n_positive: int, area: float, sets: int) -> tuple[float, float]:
    """Return the share of intervals that hold the true area, and their mean width."""
    generator = np.random.default_rng(n_positive)
    present = np.arange(n_positive + NEGATIVES) < n_positive
    # The difference of two scores has a variance of 2.
    shift = norm.ppf(area) * np.sqrt(2)
    held, widths = [], []
    for seed in range(sets):
        scores = (generator.normal(size=len(present)) + shift * present).astype(np.float32)
        found = interval_of(scores, present, seed)
        if found is not None:
            held.append(found[0] <= area <= found[1])
            widths.append(found[1] - found[0])
    return float(np.mean(held)), float(np.mean(widths))


def main() -> None:
    """Print a table: one line for each number of positives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000, help="Data sets that are drawn for each figure.")
    sets = parser.parse_args().sets
    sys.stdout.write("positives  " + "  ".join(f"AUC {area}: held, width" for area in AREAS) + "\n")
    for n_positive in POSITIVES:
        cells = [measure(n_positive, area, sets) for area in AREAS]
        sys.stdout.write(f"{n_positive:9d}  " + "  ".join(f"{held:.3f} {width:.3f}" for held, width in cells) + "\n")


if __name__ == "__main__":
    main()
