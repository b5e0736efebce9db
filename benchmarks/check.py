"""Let the networks check explanations, and count how often each verdict is right.

For each verified case of `pool.py`, six rankings of the carrier's regions are checked: the consensus (`--choice`),
nearest-unlike alone, and four random ones. The three first regions are switched off, and 39 random sets of three
others, under four fills. Regions off one at a time are in the pool. The consensus is checked on clean controls, which
have no tag, too.

*effect*: mean log-odds without a random set, less the log-odds without the first regions.
*p*: one more than the number of random sets that lose at least as much, over one more than there are. For one region
the random sets are all others.
*confirmed* under a fill: p is at most 0.05 and the effect is large enough, for one region, for three or for either.

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
from facelime_cli.core.checking import compared

Order = NDArray[np.int64]

TOP = 3
RANDOM_SETS = 39
RANDOM_RANKINGS = tuple(f"random {number}" for number in range(1, 5))
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
    for name in (choice,) if record.what == "clean" else (choice, REFERENCE):
        coefficients = joined(record, network, CHOICES[name], EVALUATIONS).coefficients
        found[name] = np.argsort(-coefficients, kind="stable")
    if record.what == "tag":
        for name in RANDOM_RANKINGS:
            rng = np.random.default_rng(masks.key_of(0, record.name, name))
            found[name] = rng.permutation(int(record.carrier.max()) + 1)
    return found


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

    def evaluate(self, record: Record, networks: list[Network], blocks: Blocks, orders: list[dict[str, Order]]) -> None:
        """Evaluate and keep what is not known of a picture: some rankings for each network."""
        shown: dict[str, Any] = {}
        for at, (network, ranked) in enumerate(zip(networks, orders, strict=True)):
            for name, order in ranked.items():
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
    """Evaluate all cases and clean controls that the pool has, random rankings last."""
    blocks, sets = Blocks(options), Sets(options.cache)
    part, parts = options.part
    found = records(options.cache, None, "tag") + records(options.cache, None, "clean")
    units: dict[str, list[Record]] = {}
    for record in found:
        units.setdefault(record.name.rpartition("/")[0], []).append(record)
    for random, (number, (name, those)) in itertools.product((False, True), enumerate(units.items())):
        if number % parts != part - 1:
            continue
        begun = time.perf_counter()
        networks = blocks.kept(name.replace("/", "-"))
        for record in those:
            orders = [wanted(record, at, options.choice, random=random) for at in range(len(networks))]
            sets.evaluate(record, networks, blocks, orders)
        print(f"{name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)


def wanted(record: Record, network: int, choice: str, *, random: bool) -> dict[str, Order]:
    """Return the rankings to evaluate: the random ones or the others, none where the picture is no case."""
    if not counts(record, network):
        return {}
    found = rankings(record, network, choice)
    return {name: order for name, order in found.items() if (name in RANDOM_RANKINGS) == random}


@dataclass(frozen=True)
class Checked:
    """One explanation and what the network says of it.

    Attributes
    ----------
    right : bool
        The first region is marked.
    among_three : bool
        One of the first three is.
    same : bool
        The first region is the same against every fill that the explanation used.
    again : bool, optional
        Another seed and other donors give the same first region, where that is known.
    p, effect : (2, 4) float64 arrays
        For one and three regions, under each fill.
    """

    right: bool
    among_three: bool
    same: bool
    again: bool | None
    p: Floats
    effect: Floats


def figures(record: Record, network: int, order: Order, triples: Floats) -> tuple[Floats, Floats]:
    """Return p and effect of a ranking, for one and three regions, under each fill: (2, 4) each."""
    found = []
    for fill, answers in zip(FILLS, triples, strict=True):
        alone = record.arrays[f"off/{fill}"][network].astype(np.float64)
        one = compared(np.clip(alone[order], -CLIPPED, CLIPPED))
        found.append((one, compared(np.clip(answers, -CLIPPED, CLIPPED))))
    effect, p = np.array(found).transpose(2, 1, 0)
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
            same = agrees(joined(record, network, CHOICES[ranking], EVALUATIONS), ranking)
            if record.what == "tag" and record.name in self.repeated:
                other = joined(self.repeated[record.name], network, CHOICES[ranking], EVALUATIONS)
                again = bool(other.coefficients.argmax() == order[0])
        return Checked(bool(marked[order[0]]), bool(marked[order[:TOP]].any()), same, again, p, effect)


STRONG = {
    "one under 3": (3, 0, 0),
    "three under 3": (0, 3, 0),
    "three under 4": (0, 4, 0),
    "either under 3": (0, 0, 3),
    "either under 4": (0, 0, 4),
    "either under 3, one under 1": (1, 0, 3),
    "either under 3, one under 2": (2, 0, 3),
    "either under 4, one under 1": (1, 0, 4),
    "one under 3, three under 3": (3, 3, 3),
}
"""For `strong`: under how many fills one region is confirmed, three are, and one or three are."""
FAIR = 2
"""For `fair`: under how many fills one region or three are confirmed."""
WORDS = ("strong", "fair", "depends on the stand-in", "not confirmed")


@dataclass(frozen=True)
class Rule:
    """A rule that gives a verdict.

    Attributes
    ----------
    strong : str
        A key of `STRONG`.
    effect : float
        Least effect that confirms, in log-odds.
    same : bool
        Whether a strong explanation has the same first region against every fill.
    """

    strong: str
    effect: float
    same: bool

    def word(self, one: Checked) -> str:
        """Return the verdict."""
        ok = (one.p <= LEVEL) & (one.effect >= self.effect)
        fills = (*ok.sum(axis=1), ok.any(axis=0).sum())
        enough = all(n >= least for n, least in zip(fills, STRONG[self.strong], strict=True))
        if enough and (one.same or not self.same):
            return WORDS[0]
        return WORDS[1] if fills[-1] >= FAIR else WORDS[2] if fills[-1] else WORDS[3]


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
        *("strong: confirmed", "same first", "effect ≥", "share strong", "right if strong", "again if strong"),
        *(
            "share fair",
            "right if fair",
            "strong, random",
            "strong, random without the tag",
            "strong, tag's place, clean",
        ),
    )
    yield "| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|"
    each, n, random = tagged[ranking], len(tagged[ranking]), tagged["random"]
    for strong, same, effect in itertools.product(STRONG, (False, True), EFFECTS):
        rule = Rule(strong, effect, same)
        strongs, fairs = ([one for one in each if rule.word(one) == word] for word in WORDS[:2])
        plain = [rule.word(one) == WORDS[0] and one.right for one in clean.get(ranking, [])]
        cells = [f"{len(strongs) / n:.2f}", of([one.right for one in strongs])]
        cells += [of([one.again for one in strongs if one.again is not None])]
        cells += [f"{len(fairs) / n:.2f}", of([one.right for one in fairs])]
        cells += [of([rule.word(one) == WORDS[0] for one in those]) for those in (random, without_tag(random))]
        yield f"| {strong} | {'yes' if same else ''} | {effect} | " + " | ".join([*cells, of(plain)]) + " |"


def without_tag(checks: list[Checked]) -> list[Checked]:
    """Return the checks of rankings whose first three regions have no tag, so that nothing is there to confirm."""
    return [one for one in checks if not one.among_three]


def words_table(rule: Rule, tagged: dict[str, list[Checked]], clean: dict[str, list[Checked]]) -> Iterator[str]:
    """Yield every word of one rule, for every ranking."""
    yield f"\nstrong: {rule.strong}{', same first' if rule.same else ''}; effect ≥ {rule.effect}\n"
    yield "| ranking | cases | " + " | ".join(f"{word}: share | right" for word in WORDS) + " |"
    yield "| --- " * (2 + 2 * len(WORDS)) + "|"
    whole = tagged | {"random without the tag": without_tag(tagged["random"])}
    whole |= {f"{ranking}, clean": each for ranking, each in clean.items()}
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
    strong, effect, same = options.rule
    yield from words_table(Rule(strong, float(effect), same == "same"), tagged, clean)


def main() -> None:
    """Evaluate, or judge and print."""
    parser = pool.arguments(__doc__)
    parser.add_argument("--table", action="store_true", help="Judge what is kept.")
    views.add_cases(parser)
    parser.add_argument("--choice", choices=list(CHOICES), default=views.DEFAULT, help="Views that are checked.")
    parser.add_argument(
        "--rule", nargs=3, metavar=("STRONG", "EFFECT", "SAME"), help="Show all words of one rule, not all rules."
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
