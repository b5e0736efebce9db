"""What was decided while tables were read: counted for the manifest, and in words for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facelime_cli.console import Console


@dataclass
class Account:
    """What was decided while tables were read.

    Attributes
    ----------
    facts : dict
        Counts by kind, without any name of a picture. Empty where there was nothing to decide.
    said : list of str
        The same in words, to stand in one line.
    warnings : list of str
        Sentences on what may be wrong.
    labels : list of str
        The names of the findings in their order, where there are several per picture.
    passed : Counter
        The files in the sources that are no pictures, by kind.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Account) -> None:
        """Take over what another account holds.

        Parameters
        ----------
        other : Account
        """
        self.facts |= other.facts
        self.said += other.said
        self.warnings += other.warnings
        self.labels += other.labels
        self.passed += other.passed

    def say(self, console: Console) -> None:
        """Print it: one line, and the warnings.

        Parameters
        ----------
        console : Console
        """
        if self.said:
            console.note(f"table: {'; '.join(self.said)}.")
        for warning in self.warnings:
            console.warn(warning)
