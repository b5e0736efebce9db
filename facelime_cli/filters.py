"""Which artifacts of a store are meant: by kind, name and age. `status` and `prune` share these options."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from typer import Option

from facelime_cli.errors import BrokenError, CommandLineError
from facelime_cli.names import comma_separated
from facelime_cli.stopping import span
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from facelime_cli.store.artifacts import Artifact

LIKE = "30d, 12h or 45m"
MOMENT = "%Y-%m-%dT%H:%M:%SZ"
"""How a manifest writes a time."""
AGES = ((86400, "d"), (3600, "h"), (60, "min"))
"""Units of an age, the largest first, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The options that choose artifacts of a store."""

    kind: Annotated[
        str | None,
        Option(metavar="A,B,…", show_default=False, help="Only these kinds, such as models,evaluations."),
    ] = None
    named: Annotated[
        str | None,
        Option(
            "--named",
            metavar="PATTERN",
            show_default=False,
            help="Only artifacts with this name or id; * stands for any letters, as in 'rosacea*'.",
        ),
    ] = None
    older_than: Annotated[
        str | None,
        Option(
            metavar="TIME",
            show_default=False,
            help=f"Only what was completed longer ago than this, such as {LIKE}; of what is unfinished, begun.",
        ),
    ] = None
    newer_than: Annotated[
        str | None,
        Option(metavar="TIME", show_default=False, help="Only what was completed, or begun, within this time."),
    ] = None

    @property
    def given(self) -> bool:
        """Whether any of them is given."""
        return any(each is not None for each in (self.kind, self.named, self.older_than, self.newer_than))

    def chooser(self) -> Callable[[Artifact], bool]:
        """Return what says of an artifact whether it is meant.

        Raises
        ------
        CommandLineError
            When there is no such kind, or an age is no time.
        """
        kinds = self._kinds()
        # All ages are measured from one moment.
        now = time.time()
        older = None if self.older_than is None else span(self.older_than, "--older-than", LIKE)
        newer = None if self.newer_than is None else span(self.newer_than, "--newer-than", LIKE)

        def chosen(artifact: Artifact) -> bool:
            if artifact.kind not in kinds or not self._has_name(artifact):
                return False
            if older is None and newer is None:
                return True
            age = now - moment_of(artifact)
            return (older is None or age > older) and (newer is None or age <= newer)

        return chosen

    def _kinds(self) -> list[str]:
        if self.kind is None:
            return list(KINDS)
        kinds = comma_separated(self.kind)
        for each in kinds:
            if each not in KINDS:
                raise CommandLineError(f"--kind {each!r} is no kind of artifact; choose among {', '.join(KINDS)}.")
        return kinds

    def _has_name(self, artifact: Artifact) -> bool:
        if self.named is None:
            return True
        return any(fnmatchcase(each, self.named) for each in (artifact.id, *artifact.names))


def moment_of(artifact: Artifact) -> float:
    """Return when an artifact was completed, or begun while it is unfinished.

    Parameters
    ----------
    artifact : Artifact
        It may be damaged.

    Returns
    -------
    float
        Seconds since the epoch. What is written counts; where that cannot be read, the time of the folder.
    """
    try:
        # By what is written: a copy of a store has other times of files.
        return seconds_since_epoch(artifact.finished or artifact.begun)
    except (BrokenError, ValueError):
        return artifact.path.stat().st_mtime


def seconds_since_epoch(text: str) -> float:
    """Return the moment that a text of a manifest or of a log names.

    Parameters
    ----------
    text : str
        UTC, to the second (ISO 8601).

    Returns
    -------
    float
        Seconds since the epoch.

    Raises
    ------
    ValueError
        When it names none.

    Examples
    --------
    >>> seconds_since_epoch("1970-01-02T00:00:01Z")
    86401.0
    """
    return float(calendar.timegm(time.strptime(text, MOMENT)))


def age_text(seconds: float) -> str:
    """Return an age in its largest unit, for a narrow column.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    str

    Examples
    --------
    >>> age_text(42), age_text(7300), age_text(40 * 86400)
    ('1 min', '2 h', '40 d')
    """
    length, unit = next((each for each in AGES if seconds >= each[0]), AGES[-1])
    return f"{max(1, int(seconds / length))} {unit}"
