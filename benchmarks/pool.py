"""Evaluate the networks of `cases.py` on the masks of many views, so that any choice of views can be judged later.

For each picture the script keeps, for both networks, the log-odds of the class with the tag:

- of all masks of each view (`VIEWS`), with seed 0. Fewer evaluations are the first rows. Masks follow from seed, name
  and number of segments (`masks_of`), so that they are not kept;
- of the carrier's regions switched off one at a time, under each of four fills.

One picture of each tag is evaluated once more without the tag, as a clean control, with fewer evaluations. One
picture in four is evaluated with another seed and other donors.

    python benchmarks/pool.py --cache DIR [--data DIR] [--kinds …] [--pictures 3] [--rounds 1] [--part 1 2]
        [--threads 1]

DIR keeps a file for each picture, and a line in `pool.jsonl`. The same command resumes. Two processes share the work
with `--part 1 2` and `--part 2 2`. It needs OpenVINO (pip install openvino).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import CARRIER, SETS, Blocks, Case, Labels, Pictures, Unit, pictures, units
from numpy.typing import NDArray
from planted import segments_of
from tags import KINDS, SIZE, Pixels, half_of

from facelime_cli import choices
from facelime_cli.core import fills, masks

NEAREST = "nearest-unlike"
FILLS = (NEAREST, "blur", "inpaint", "mean")
"""Fills that the check switches regions off with."""
SCALES = (17, 40, 85)
DESIGN_OF = {NEAREST: ("balanced", 0.5)}
"""Design and share kept of a fill."""
OTHER_DESIGN = ("bernoulli", 0.8)
CLEAN_ROWS = 200
"""Most evaluations of a view of a clean control, which has fewer views too."""
FEWER = 0.6
"""Share of the evaluations of clean controls, and of the other seed: what 600 in all need."""
REPEATED = 4
"""One picture of so many is evaluated with another seed and other donors."""
OTHER_DONORS = 4
"""The first donor of the other seed."""


@dataclass(frozen=True)
class View:
    """One LIME run.

    Attributes
    ----------
    fill : str
    scale : int
        Segments that are asked for.
    donor : int
        Which of the most similar pictures of the other class is the fill.
    rows : int
        Evaluations that are kept.
    clean : bool
        Whether clean controls are evaluated too.
    """

    fill: str
    scale: int
    donor: int
    rows: int
    clean: bool = True

    @property
    def name(self) -> str:
        """How the view is kept."""
        return f"{self.fill}/{self.scale}/{self.donor}"


VIEWS = (
    View(NEAREST, 40, 0, 1000),
    View(NEAREST, 17, 0, 340),
    View(NEAREST, 85, 0, 340),
    View(NEAREST, 17, 1, 170),
    View(NEAREST, 40, 1, 340),
    View(NEAREST, 85, 1, 170),
    View(NEAREST, 40, 2, 250),
    View(NEAREST, 40, 3, 250),
    View("blur", 40, 0, 340),
    View("inpaint", 40, 0, 340),
    View("blur", 17, 0, 67, clean=False),
    View("blur", 85, 0, 67, clean=False),
    View("inpaint", 17, 0, 67, clean=False),
    View("inpaint", 85, 0, 67, clean=False),
)
"""As many evaluations as a view gets of 1,000 in the narrowest choice that has it, those with 67 of 600."""


def masks_of(view: View, seed: int, name: str, n_segments: int, rows: int) -> NDArray[np.bool_]:
    """Return the masks of a view, (rows, K) bool, as the program draws them."""
    design, share = DESIGN_OF.get(view.fill, OTHER_DESIGN)
    draw = choices.DESIGNS[design].load()
    return np.asarray(draw(masks.key_of(seed, name, "mask"), rows, n_segments, share))


class Subject:
    """A picture that is explained, with what stands in for its regions."""

    def __init__(self, image: Pixels, donors: Pixels) -> None:
        self.image, self.donors = image, donors
        self.segments = {scale: segments_of(image, "slic", {"segments": scale}) for scale in SCALES}
        self.known: dict[tuple[str, int, int], Pixels] = {}

    def fill(self, fill: str, scale: int, donor: int = 0) -> Pixels:
        """Return what stands where a region is off."""
        if fill == NEAREST:
            return self.donors[donor]
        if (fill, scale, 0) not in self.known:
            own = {"sigma": round(fills.BLUR_SHARE * SIZE, 3)} if fill == "blur" else {}
            made = choices.FILLS[fill].load()(self.image, self.segments[scale], **own)
            self.known[fill, scale, 0] = made
        return self.known[fill, scale, 0]


def composed(image: Pixels, fill: Pixels, segments: Labels, kept: NDArray[np.bool_]) -> Pixels:
    """Return perturbed pictures (S, SIZE, SIZE, 3) uint8."""
    return np.where(kept[:, segments][..., None], image, fill)


def answers(unit: Unit, image: Pixels, fill: Pixels, segments: Labels, kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return both networks' log-odds of perturbed pictures: (2, S)."""
    some = [unit.log_odds(composed(image, fill, segments, kept[at : at + 64])) for at in range(0, len(kept), 64)]
    return np.concatenate(some, axis=1).astype(np.float32)


def evaluated(unit: Unit, subject: Subject, name: str, *, seed: int = 0, clean: bool = False) -> dict[str, Any]:
    """Return the answers of all views, by name."""
    found: dict[str, Any] = {}
    first_donor = OTHER_DONORS if seed else 0
    for view in VIEWS:
        if clean and not view.clean:
            continue
        segments = subject.segments[view.scale]
        rows = math.ceil(FEWER * view.rows) if clean or seed else view.rows
        rows = min(rows, CLEAN_ROWS) if clean else rows
        kept = masks_of(view, seed, name, int(segments.max()) + 1, rows)
        fill = subject.fill(view.fill, view.scale, first_donor + view.donor)
        found[view.name] = answers(unit, subject.image, fill, segments, kept)
    return found


def checked(unit: Unit, subject: Subject) -> dict[str, Any]:
    """Return the answers of the full picture, and of regions off one at a time under each fill."""
    carrier = subject.segments[CARRIER]
    alone = ~np.eye(int(carrier.max()) + 1, dtype=np.bool_)
    found: dict[str, Any] = {"full": unit.log_odds(subject.image[None])[:, 0]}
    for fill in FILLS:
        stands = subject.fill(fill, CARRIER)
        found[f"off/{fill}"] = answers(unit, subject.image, stands, carrier, alone)
        found[f"fill/{fill}"] = stands
    return found


class Pool:
    """Answers that are kept in a folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = options.cache / "pool"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lines = options.cache / "pool.jsonl"
        self.blocks = Blocks(options)
        known = self.lines.read_text().splitlines() if self.lines.exists() else []
        self.known = {json.loads(line)["name"] for line in known}

    @cache  # noqa: B019 - one pool lives as long as the process
    def shown(self, name: str) -> Pictures:
        """Return a set of pictures."""
        return pictures(name, Path(self.options.data))

    def fill_up(self) -> None:
        """Evaluate what is not known yet."""
        part, parts = self.options.part
        for number, (at, kind, place) in enumerate(units(self.options.kinds, self.options.rounds)):
            if number % parts != part - 1 or at not in self.options.sets:
                continue
            name = f"{at}/{kind}/{place}"
            done = f"{name}/done"
            if done in self.known:
                continue
            begun = time.perf_counter()
            unit = Unit(self.shown(at), kind, place, self.blocks)
            self._say(f"{name}: networks", begun)
            tried = used = 0
            for case in unit.candidates():
                tried += 1
                if case.verified.any():
                    self._case(unit, case, number, used)
                    used += 1
                if used == self.options.pictures or tried == 4 * self.options.pictures:
                    break
            self._line(done, {"tried": tried, "used": used})

    def _case(self, unit: Unit, case: Case, number: int, used: int) -> None:
        begun = time.perf_counter()
        subject = Subject(case.image, unit.donors(case.image, case.group))
        about = {
            "set": unit.shown.name,
            "kind": case.name.split("/")[1],
            "half": half_of(case.name.split("/")[1]),
            "group": case.group,
            "verified": case.verified.tolist(),
            "effects": case.effects.round(4).tolist(),
        }
        if self._wanted(case, "tag"):
            found = evaluated(unit, subject, case.name) | checked(unit, subject)
            self._keep(case, "tag", about, subject, found | {"truth": case.truth, "swapped": case.swapped})
        if (number * self.options.pictures + used) % REPEATED == 0 and self._wanted(case, "again"):
            self._keep(case, "again", about, subject, evaluated(unit, subject, case.name, seed=1))
        if used == 0 and self._wanted(case, "clean"):
            plain = Subject(case.original, unit.donors(case.original, case.group))
            found = evaluated(unit, plain, case.name, clean=True) | checked(unit, plain)
            self._keep(case, "clean", about, plain, found | {"truth": case.truth})
        self._say(case.name, begun)

    def _wanted(self, case: Case, what: str) -> bool:
        """Return whether a picture's answers are not kept yet."""
        return f"{case.name}/{what}" not in self.known

    def _keep(self, case: Case, what: str, about: dict[str, Any], subject: Subject, found: dict[str, Any]) -> None:
        """Write a picture's answers, then its line."""
        whole = f"{case.name}/{what}"
        segments = {f"segments/{scale}": labels.astype(np.uint8) for scale, labels in subject.segments.items()}
        np.savez_compressed(self.folder / f"{whole.replace('/', '-')}.npz", image=subject.image, **segments, **found)
        self._line(whole, {"what": what, **about})

    def _line(self, name: str, about: dict[str, Any]) -> None:
        with self.lines.open("a") as stream:
            stream.write(json.dumps({"name": name, **about}) + "\n")

    def _say(self, what: str, begun: float) -> None:
        print(f"{what}: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)


def arguments(about: str | None) -> argparse.ArgumentParser:
    """Return the options that all scripts on the pool share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="Keep everything that is computed in this folder.")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("FACELIME_DATA"),
        help="Read faces/, skin/, xray/ and weights/ in this folder. [default: FACELIME_DATA]",
    )
    parser.add_argument("--kinds", nargs="+", default=sorted(KINDS), choices=sorted(KINDS), help="[default: all]")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, help="Pictures to plant in. [default: all]")
    parser.add_argument("--threads", type=int, default=0, help="Threads of OpenVINO. [default: all cores]")
    parser.add_argument("--part", nargs=2, type=int, default=(1, 1), metavar=("I", "N"), help="Do part I of N alone.")
    return parser


def main() -> None:
    """Evaluate and keep."""
    parser = arguments(__doc__)
    parser.add_argument("--pictures", type=int, default=3, help="Pictures for each set, kind and place. [default: 3]")
    parser.add_argument("--rounds", type=int, default=1, help="Places of each kind and set. [default: 1]")
    options = parser.parse_args()
    if options.data is None:
        parser.error("say where the pictures and weights are, with --data or FACELIME_DATA")
    Pool(options).fill_up()


if __name__ == "__main__":
    main()
