"""Where the networks of a mean differ, as a reader of a report sees it: in sentences, and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facelime_cli.core.members import NONE
from facelime_cli.reporting.explanations import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facelime_cli.core.members import Differing
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.quantities import Spoken

COLUMNS = ("id", "class", "network", "answer", "first_region", "loss_log_odds")
"""Heading of the table of members."""


@dataclass(frozen=True)
class MembersShown:
    """What a page says of the networks of a mean, for one class of a picture.

    Attributes
    ----------
    found : Differing
    first : int
        The region that speaks most for the class in the explanation.
    spoken : Spoken
        How answers are written.
    """

    found: Differing
    first: int
    spoken: Spoken

    @property
    def n(self) -> int:
        """How many networks there are."""
        return len(self.found.answers)

    @property
    def answers(self) -> str:
        """What they answer, in a sentence."""
        low, high = (self.spoken.answer(float(each)) for each in (self.found.answers.min(), self.found.answers.max()))
        said = f"all answer {low}" if low == high else f"answer {low} to {high}"
        return f"The model is the mean of {self.n} networks, which {said}."

    @cached_property
    def agreeing(self) -> int:
        """How many lose most without the region that is first in the explanation."""
        return int((self.found.first == self.first).sum())

    @property
    def regions(self) -> str:
        """Which region each loses most without, in sentences."""
        if not self.differ:
            return f"Each of them loses most without region {self.first}, which is first here."
        counted = Counter(self.found.first.tolist())
        nothing = counted.pop(NONE, 0)
        said = [f"without region {region} ({times} of {self.n})" for region, times in counted.most_common()]
        parts = [f"One region at a time is taken away. They lose most {listed(said)}." if said else ""]
        if nothing:
            parts.append(f"{nothing} of {self.n} {'loses' if nothing == 1 else 'lose'} nothing without any.")
        if not self.agreeing:
            parts.append(f"None of them loses most without region {self.first}, which is first here.")
        return " ".join(filter(None, parts))

    @property
    def differ(self) -> bool:
        """Whether fewer than all agree on the explanation's first region."""
        return self.agreeing < self.n


def shown(explanations: Explanations, row: int, c: int) -> MembersShown | None:
    """Return what the networks of a mean say of one class of a picture.

    Parameters
    ----------
    explanations : Explanations
    row, c : int
        The picture and the class.

    Returns
    -------
    MembersShown or None
        None for a model of one network, and where no check has asked them.
    """
    found = explanations.members(row, c)
    if found is None:
        return None
    return MembersShown(found, int(explanations.coefficients(row, c).argmax()), explanations.spoken)


def summary(explanations: Explanations, classes: Sequence[Sequence[int]]) -> dict[str, int]:
    """Return in how many pictures of a report the networks differ, each with the class that stands first.

    Parameters
    ----------
    explanations : Explanations
    classes : sequence of sequence of int
        For each picture the classes that are shown.

    Returns
    -------
    dict
        `networks`; `pictures`; `answers`, in how many they do not all call the same; `regions`, in how many fewer than
        half lose most without the explanation's first region. Empty for a model of one network.
    """
    counted = {"networks": 0, "pictures": 0, "answers": 0, "regions": 0}
    for row, its in enumerate(classes):
        each = shown(explanations, row, its[0]) if its else None
        if each is not None:
            counted["networks"] = each.n
            counted["pictures"] += 1
            counted["answers"] += len(explanations.called_by_members(row)) > 1
            counted["regions"] += 2 * each.agreeing < each.n
    return counted if counted["pictures"] else {}


def rows(explanations: Explanations, classes: Sequence[Sequence[int]]) -> Iterator[tuple[Any, ...]]:
    """Yield the table of what each network says of each class that is shown, below its heading.

    Parameters
    ----------
    explanations : Explanations
    classes : sequence of sequence of int
        For each picture the classes that are shown.

    Yields
    ------
    tuple
        As `COLUMNS`; no region where a network loses nothing without any.
    """
    yield COLUMNS
    for row, its in enumerate(classes):
        for c in its:
            found = explanations.members(row, c)
            if found is None:
                continue
            both = zip(found.answers.tolist(), found.first.tolist(), found.loss.tolist(), strict=True)
            for network, (answer, first, loss) in enumerate(both):
                region = "" if first == NONE else first
                yield explanations.ids[row], explanations.names[c], network, answer, region, loss
