"""A folder of maps: one file or several for each picture and class, and a list of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import loaded
from facelime_cli.store import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from facelime_cli.exporting.maps import Map

LIST = "export.json"
"""The list of what a folder holds. A folder that has it was made here, so that it may be replaced."""
UNSAFE = re.compile(r"[^\w.+@-]+")
"""What file names do without: any system and any viewer takes the rest."""
LONGEST = 80
"""Letters of a part of a name."""


@dataclass
class Folder:
    """A folder that is being filled.

    Attributes
    ----------
    path : Path
    taken : set of str
        Names that are used, in small letters: some systems do not tell capitals from them.
    """

    path: Path
    taken: set[str] = field(default_factory=lambda: {LIST})

    def name(self, each: Map, ending: str) -> str:
        """Return a name for a file on a picture and class that no other one has.

        Parameters
        ----------
        each : Map
        ending : str
            Such as `.png`.
        """
        stem = f"{part_of_name(each.id)}.{part_of_name(each.class_name)}"
        name, number = stem + ending, 1
        while name.lower() in self.taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        self.taken.add(name.lower())
        return name

    def write(self, name: str, content: bytes) -> str:
        """Write a file of the folder, for its owner alone, and return its name.

        Parameters
        ----------
        name : str
        content : bytes
        """
        # The folder appears at its end as a whole: waiting for the disk at each file would take most of the time.
        files.write_whole(self.path / name, content, durable=False, mode=files.PRIVATE)
        return name


def part_of_name(text: str) -> str:
    """Return a text as a part of a file's name.

    Parameters
    ----------
    text : str
        An id or a class.

    Examples
    --------
    >>> part_of_name("test/normal/face-1"), part_of_name("../x"), part_of_name("no finding")
    ('test_normal_face-1', 'x', 'no_finding')
    """
    return UNSAFE.sub("_", text).strip("._-")[:LONGEST] or "unnamed"


def write(maps: Iterable[Map], folder: Folder, form: str, told: dict[str, Any]) -> dict[str, Any]:
    """Fill a folder.

    Parameters
    ----------
    maps : iterable of Map
    folder : Folder
        An empty one.
    form : str
        Where the function is that writes the files, `module:function`.
    told : dict
        What its list says of all of them.

    Returns
    -------
    dict
        The list, which is written last.
    """
    writer = loaded(form)
    written: Iterator[tuple[Map, list[str]]] = writer(maps, folder)
    listed = {**told, "maps": [{**each.told(), "files": names} for each, names in written]}
    folder.write(LIST, files.json_bytes(listed))
    return listed
