"""Let the networks check explanations, and count how often each verdict is right.

For each verified case of `pool.py`, four rankings of the carrier's regions are checked: the consensus (`--choice`),
nearest-unlike alone, and two random ones. The three first regions are switched off, and 39 random sets of three others,
under four fills. Regions off one at a time are in the pool. Clean controls have no tag: the first two rankings are
checked there too.

*effect*: mean log-odds without a random set, less the log-odds without the first regions.
*p*: one more than the number of random sets that lose at least as much, over one more than there are. For one region
the random sets are all others.
*confirmed* under a fill: p is at most 0.05, for one region, for three or for either, and the effect is large enough.

    python benchmarks/check.py --cache DIR --data DIR [--part 1 2] [--threads 1]    # evaluate
    python benchmarks/check.py --cache DIR --table [--half choose]                  # judge

Intervals of shares are Clopper and Pearson's, of 95 %. The rule is chosen on the half `choose` of the kinds.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pool
import views
from cases import NETWORKS, Blocks, Bools, Floats, Network
from numpy.typing import NDArray
from planted import marked_by
from pool import FILLS, composed
from views import CHOICES, REFERENCE, Joined, Record, counts, joined, records

from facelime_cli.core import masks

Order = NDArray[np.int64]

TOP = 3
RANDOM_SETS = 39
RANDOM_RANKINGS = ("random 1", "random 2")
LEVEL = 0.05
CLIPPED = float(np.log((1 - 1e-7) / 1e-7))
"""Probabilities nearer to 0 or 1 than 1e-7 are taken as that."""
EVALUATIONS = 600
"""What an explanation that is checked may use."""
EFFECTS = (0.0, 0.1, 0.3, 1.0)
"""Least effects, in log-odds, that are tried."""


def rankings(record: Record, network: int, choice: str) -> dict[str, Order]:
    """Return the orders of regions that are checked, the first region first."""
    found = {}
    for name in dict.fromkeys((choice, REFERENCE)):
        coefficients = explained(record, network, name).coefficients
        found[name] = np.argsort(-coefficients, kind="stable")
    if record.what == "tag":
        for name in RANDOM_RANKINGS:
            rng = np.random.default_rng(masks.key_of(0, record.name, name))
            found[name] = rng.permutation(int(record.carrier.max()) + 1)
    return found


def explained(record: Record, network: int, name: str) -> Joined:
    """Return an explanation. Clean controls of the reference have fewer evaluations."""
    n = EVALUATIONS
    if record.what == "clean" and name == REFERENCE:
        n = pool.CLEAN_ROWS
    return joined(record, network, CHOICES[name], n)


def kept_of(order: Order, name: str) -> Bools:
    """Return masks without the first regions, then without random sets of others: (1 + R, K) bool."""
    rng = np.random.default_rng(masks.key_of(0, name, "check"))
    kept = np.ones((1 + RANDOM_SETS, len(order)), np.bool_)
    kept[0, order[:TOP]] = False
    for row in kept[1:]:
        row[rng.choice(order[TOP:], TOP, replace=False)] = False
    return kept


class Sets:
    """Answers without sets of regions, which are kept in a folder."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "check"
        self.folder.mkdir(parents=True, exist_ok=True)

    def file(self, record: Record, network: int, ranking: str) -> Path:
        """Return where the answers of a ranking are."""
        words = f"{record.about['name']}/{NETWORKS[network]}/{ranking}"
        return self.folder / f"{words.replace('/', '-').replace(' ', '_')}.npy"

    def evaluate(self, record: Record, networks: list[Network], blocks: Blocks, choice: str) -> None:
        """Evaluate and keep what is not known of a picture."""
        shown: dict[str, Any] = {}
        for at, network in enumerate(networks):
            if not record.about["verified"][at]:
                continue
            for name, order in rankings(record, at, choice).items():
                file = self.file(record, at, name)
                if file.exists():
                    continue
                shown = shown or record.pictures()
                kept = kept_of(order, record.name)
                stands = [shown[f"fill/{fill}"] for fill in FILLS]
                images = [composed(shown["image"], fill, record.carrier, kept) for fill in stands]
                log_odds = network.log_odds(blocks.features(np.concatenate(images)))
                np.save(file, log_odds.reshape(len(FILLS), -1))


def evaluate(options: argparse.Namespace) -> None:
    """Evaluate all cases and clean controls that the pool has."""
    blocks, sets = Blocks(options), Sets(options.cache)
    part, parts = options.part
    found = records(options.cache, None, "tag") + records(options.cache, None, "clean")
    found.sort(key=lambda record: record.name)
    units = itertools.groupby(found, key=lambda record: record.name.rpartition("/")[0])
    for number, (name, those) in enumerate(units):
        if number % parts != part - 1:
            continue
        begun = time.perf_counter()
        networks = blocks.kept(name.replace("/", "-"))
        for record in those:
            sets.evaluate(record, networks, blocks, options.choice)
        print(f"{name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Checked:
    """One explanation and what the network says of it.

    Attributes
    ----------
    right : bool
        The first region is marked.
    same : bool
        The first region is the same against every fill that the explanation used.
    again : bool, optional
        Another seed and other donors give the same first region, where that is known.
    p, effect : (2, 4) float64 arrays
        For one and three regions, under each fill.
    """

    right: bool
    same: bool
    again: bool | None
    p: Floats
    effect: Floats


def compared(without: float, others: Floats) -> tuple[float, float]:
    """Return p and effect of the log-odds without the first regions, beside those without others."""
    without, others = np.clip(without, -CLIPPED, CLIPPED), np.clip(others, -CLIPPED, CLIPPED)
    return (1 + (others <= without).sum()) / (len(others) + 1), float(others.mean() - without)


def figures(record: Record, network: int, order: Order, triples: Floats) -> tuple[Floats, Floats]:
    """Return p and effect of a ranking, for one and three regions, under each fill: (2, 4) each."""
    found = []
    for fill, answers in zip(FILLS, triples, strict=True):
        alone = record.arrays[f"off/{fill}"][network].astype(np.float64)
        one = compared(alone[order[0]], np.delete(alone, order[0]))
        found.append((one, compared(answers[0], answers[1:])))
    p, effect = np.array(found).transpose(2, 1, 0)
    return p, effect


def agrees(answer: Joined, choice: str) -> bool:
    """Return whether the first region is the same against every fill. Views of one fill are joined first."""
    by_fill: dict[str, list[Floats]] = {}
    for view, coefficients in answer.views.items():
        by_fill.setdefault(views.BY_NAME[view].fill, []).append(coefficients)
    firsts = {int(np.mean(each, axis=0).argmax()) for each in by_fill.values()}
    return len(firsts | {int(answer.coefficients.argmax())}) == 1 and len(CHOICES[choice].shares) > 1


class Checks:
    """The checks of one half of the kinds."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sets = Sets(options.cache)
        self.repeated = {record.name: record for record in records(options.cache, options.half, "again")}

    def found(self, what: str) -> dict[str, list[Checked]]:
        """Return every check, by ranking: the two random ones together."""
        found: dict[str, list[Checked]] = {}
        for record in records(self.options.cache, self.options.half, what):
            for network, name in enumerate(NETWORKS):
                if name in self.options.networks and counts(record, network, strict=self.options.strict):
                    for ranking, order in rankings(record, network, self.options.choice).items():
                        if self.sets.file(record, network, ranking).exists():
                            kind = "random" if ranking in RANDOM_RANKINGS else ranking
                            found.setdefault(kind, []).append(self._one(record, network, ranking, order))
        return found

    def _one(self, record: Record, network: int, ranking: str, order: Order) -> Checked:
        p, effect = figures(record, network, order, np.load(self.sets.file(record, network, ranking)))
        marked = marked_by(record.arrays["truth"], record.carrier)
        same, again = False, None
        if ranking not in RANDOM_RANKINGS:
            same = agrees(explained(record, network, ranking), ranking)
            if record.what == "tag" and record.name in self.repeated:
                other = explained(self.repeated[record.name], network, ranking)
                again = bool(other.coefficients.argmax() == order[0])
        return Checked(bool(marked[order[0]]), same, again, p, effect)


CONFIRMED = {
    "k = 1": lambda ok: ok[0],
    "k = 3": lambda ok: ok[1],
    "either": lambda ok: ok.any(axis=0),
    "both": lambda ok: ok.all(axis=0),
}
"""From what is confirmed for one and for three regions under each fill, (2, 4), to what is confirmed: (4,)."""
STRONG = {
    "3 of 4": (3, False),
    "4 of 4": (4, False),
    "same first, 3 of 4": (3, True),
    "same first, 4 of 4": (4, True),
    "same first": (0, True),
}
"""For `strong`: the fills that must confirm, and whether the first region must be the same against every fill."""
FAIR = 2
"""For `fair`: the fills that must confirm."""
WORDS = ("strong", "fair", "depends on the stand-in", "not confirmed")


@dataclass(frozen=True)
class Rule:
    """A rule that gives a verdict.

    Attributes
    ----------
    confirmed, strong : str
        Keys of `CONFIRMED` and `STRONG`.
    effect : float
        Least effect, in log-odds.
    """

    confirmed: str
    effect: float
    strong: str

    def word(self, one: Checked) -> str:
        """Return the verdict."""
        ok = CONFIRMED[self.confirmed]((one.p <= LEVEL) & (one.effect >= self.effect))
        n = int(ok.sum())
        least, same = STRONG[self.strong]
        if n >= least and (one.same or not same):
            return WORDS[0]
        return WORDS[1] if n >= FAIR else WORDS[2] if n else WORDS[3]


def of(hits: list[bool]) -> str:
    """Return a share with its interval and the number that it is of."""
    from scipy.stats import beta

    n, k = len(hits), sum(hits)
    if not n:
        return "– (0)"
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{k / n:.2f} [{low:.2f}, {high:.2f}] ({n})"


def rules_table(ranking: str, tagged: dict[str, list[Checked]], clean: dict[str, list[Checked]]) -> Iterator[str]:
    """Yield a row for each rule: what `strong` and `fair` are worth."""
    columns = (
        *("confirmed by", "effect ≥", "strong", "share strong", "right if strong", "again if strong", "share fair"),
        *("right if fair", "strong, random", "strong, tag's place of a clean control"),
    )
    yield "| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|"
    each, n = tagged[ranking], len(tagged[ranking])
    for confirmed, effect, strong in itertools.product(CONFIRMED, EFFECTS, STRONG):
        rule = Rule(confirmed, effect, strong)
        if strong == "same first" and (confirmed, effect) != ("either", EFFECTS[0]):
            continue
        strongs, fairs = ([one for one in each if rule.word(one) == word] for word in WORDS[:2])
        random = [rule.word(one) == WORDS[0] for one in tagged["random"]]
        plain = [rule.word(one) == WORDS[0] and one.right for one in clean.get(ranking, [])]
        cells = [f"{len(strongs) / n:.2f}", of([one.right for one in strongs])]
        cells += [of([one.again for one in strongs if one.again is not None])]
        cells += [f"{len(fairs) / n:.2f}", of([one.right for one in fairs]), of(random), of(plain)]
        yield f"| {confirmed} | {effect} | {strong} | " + " | ".join(cells) + " |"


def words_table(rule: Rule, tagged: dict[str, list[Checked]], clean: dict[str, list[Checked]]) -> Iterator[str]:
    """Yield every word of one rule, for every ranking."""
    yield f"\n{rule.confirmed}, effect ≥ {rule.effect}, strong: {rule.strong}\n"
    yield "| ranking | cases | " + " | ".join(f"{word}: share | right" for word in WORDS) + " |"
    yield "| --- " * (2 + 2 * len(WORDS)) + "|"
    whole = {**tagged, **{f"{ranking}, clean": each for ranking, each in clean.items()}}
    for ranking, each in whole.items():
        cells = []
        for word in WORDS:
            right = [one.right for one in each if rule.word(one) == word]
            cells += [f"{len(right) / len(each):.2f}", of(right)]
        yield f"| {ranking} | {len(each)} | " + " | ".join(cells) + " |"


def tables(options: argparse.Namespace) -> Iterator[str]:
    """Yield Markdown tables."""
    checks = Checks(options)
    tagged, clean = checks.found("tag"), checks.found("clean")
    for ranking, each in {**tagged, **{f"{name}, clean": those for name, those in clean.items()}}.items():
        yield f"{ranking}: {len(each)} checks, first region marked in {of([one.right for one in each])}"
    yield ""
    if options.rule is None:
        yield from rules_table(options.choice, tagged, clean)
        return
    confirmed, effect, strong = options.rule
    yield from words_table(Rule(confirmed, float(effect), strong), tagged, clean)


def main() -> None:
    """Evaluate, or judge and print."""
    parser = pool.arguments(__doc__)
    parser.add_argument("--table", action="store_true", help="Judge what is kept.")
    views.add_cases(parser)
    parser.add_argument("--choice", choices=list(CHOICES), default=views.DEFAULT, help="Views that are checked.")
    parser.add_argument(
        "--rule", nargs=3, metavar=("CONFIRMED", "EFFECT", "STRONG"), help="Show all words of one rule, not all rules."
    )
    options = parser.parse_args()
    if options.table:
        print("\n".join(tables(options)))
        return
    if options.data is None:
        parser.error("say where the weights are, with --data or FACELIME_DATA")
    evaluate(options)


if __name__ == "__main__":
    main()
