"""What a shell offers at the Tab key. It must answer at once, so that it imports neither Typer nor a stage.

A script of `facelime completion` calls the program with `COMPLETE` in the environment, which names the shell. What
commands take stands in `completing.json`, which `make docs` makes from them; what the store holds is read from its
folders.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.__main__ import COMPLETE
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TABLE = "completing.json"
CLASSES, PICTURES = "classes", "pictures"
"""What an option may name beside artifacts and choices."""
IDS = "ids.txt"
KEY = {"kept_for": "completion"}
"""Where an artifact keeps the ids of its pictures as plain text: reading them from zarr takes a second."""
MOST = 2000
"""Words that are offered: no terminal shows more."""
MOST_BYTES = 1 << 24
"""A larger file is not read for a Tab."""
SPECIAL = frozenset(" \t\n\\\"'`$&|;<>()[]{}*?!#~=%^")
"""Letters that a word of bash has a backslash before."""


@dataclass(frozen=True)
class Offer:
    """One word that may stand at the cursor, and what it is."""

    word: str
    words: str = ""


@dataclass(frozen=True)
class Line:
    """The words of a command line behind the subcommand, as far as they are typed.

    Attributes
    ----------
    entry : mapping
        What the subcommand takes, see `completing.json`.
    given : dict
        From an option, or the number of an argument, to its values.
    expects : dict or None
        What the option before the cursor takes.
    place : int
        Number of the argument at the cursor.
    """

    entry: dict[str, Any]
    given: dict[str | int, list[str]]
    expects: dict[str, Any] | None
    place: int

    @classmethod
    def of(cls, entry: dict[str, Any], words: Sequence[str]) -> Line:
        """Return what some words of a subcommand are."""
        given: dict[str | int, list[str]] = {}
        expects, option, place = None, "", 0
        for word in words:
            if expects is not None:
                given.setdefault(option, []).append(word)
                expects = None
            elif word.startswith("--") and "=" in word:
                option, _, value = word.partition("=")
                given.setdefault(option, []).append(value)
            elif word.startswith("-") and word != "-":
                option = word
                # A switch takes no value.
                expects = entry["options"].get(word, {}).get("takes")
            else:
                given.setdefault(place, []).append(word)
                place += 1
        return cls(entry, given, expects, place)

    @property
    def argument(self) -> dict[str, Any] | None:
        """What the argument at the cursor is; the last one may be given several times."""
        known: list[dict[str, Any]] = self.entry["arguments"]
        if self.place < len(known):
            return known[self.place]
        return known[-1] if known and known[-1].get("several") else None

    def references(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each reference that was typed, with the kinds that it may be of; the last first."""
        for key, values in reversed(self.given.items()):
            if isinstance(key, int):
                known = self.entry["arguments"]
                takes = known[min(key, len(known) - 1)] if known else {}
            else:
                takes = self.entry["options"].get(key, {}).get("takes") or {}
            if takes.get("kinds"):
                yield from ((value, takes["kinds"]) for value in values)


def main() -> None:
    """Write what may stand at the cursor, for the script of a shell."""
    shell = os.environ[COMPLETE]
    if shell == "bash":
        line, breaks = [*sys.argv[1:], "", ""][:2]
        words, current = split(line)
        offers, files = offered(words[1:], unquoted(current))
        lines = list(_for_bash(offers, current, breaks))
    elif shell in {"zsh", "fish"}:
        *words, current = sys.argv[1:] or [""]
        offers, files = offered(words, unquoted(current))
        lines = [f"{each.word}\t{each.words}" for each in offers]
    else:
        return
    text = "\n".join(["files" if files else "words", *lines])
    sys.stdout.buffer.write(text.encode(errors="surrogateescape") + b"\n")


def offered(words: Sequence[str], current: str) -> tuple[list[Offer], bool]:
    """Return what may stand at the cursor, and whether a file may.

    Parameters
    ----------
    words : sequence of str
        The whole words before the cursor, without the program.
    current : str
        The word at the cursor, as far as it is typed.

    Returns
    -------
    offers : list of Offer
        Each begins with `current`.
    files : bool
    """
    table = json.loads(Path(__file__).with_name(TABLE).read_text(encoding="utf-8"))
    commands: dict[str, Any] = table["commands"]
    for count in (2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in commands:
            return _of_command(commands[name], words[count:], current)
    before = " ".join(words)
    if before and not any(name.startswith(f"{before} ") for name in commands):
        return [], False
    found: dict[str, str] = {}
    for name, entry in commands.items():
        if name.startswith(f"{before} " if before else ""):
            first, _, rest = name[len(before) :].strip().partition(" ")
            found.setdefault(first, "" if rest else entry["help"])
    found |= {} if before else table["options"]
    return _beginning(current, [Offer(*each) for each in found.items()]), False


def _of_command(entry: dict[str, Any], words: Sequence[str], current: str) -> tuple[list[Offer], bool]:
    """Return what may stand behind a subcommand."""
    line = Line.of(entry, words)
    if line.expects is not None:
        return _values(line, line.expects, current)
    if current.startswith("--") and "=" in current:
        option, _, begun = current.partition("=")
        takes = entry["options"].get(option, {}).get("takes")
        offers, files = _values(line, takes, begun) if takes else ([], False)
        return [Offer(f"{option}={each.word}", each.words) for each in offers], files
    if current.startswith("-"):
        fresh = {name: each for name, each in entry["options"].items() if name not in line.given}
        return _beginning(current, [Offer(name, each["help"]) for name, each in fresh.items()]), False
    return ([], False) if line.argument is None else _values(line, line.argument, current)


def _values(line: Line, takes: dict[str, Any], current: str) -> tuple[list[Offer], bool]:
    """Return the values of an option or an argument that begin as the word at the cursor."""
    # Of a list, the names before the last comma stay as they are.
    before, begun = _list_before(current) if takes.get("list") else ("", current)
    taken = set(before.split(","))
    offers = [Offer(each) for each in takes.get("choices", ())]
    if takes.get("kinds"):
        offers += artifacts(store_of(line), takes["kinds"], begun)
    if takes.get("names"):
        every = named(line, takes["names"])
        offers += [Offer(f'"{each}"' if takes.get("list") and "," in each else each) for each in every]
    fresh = [Offer(before + each.word, each.words) for each in offers if each.word not in taken]
    return _beginning(current, fresh), bool(takes.get("files"))


def _list_before(current: str) -> tuple[str, str]:
    """Return the names of a list before the last one, with their comma, and the last as far as it is typed."""
    inside = False
    end = 0
    for place, letter in enumerate(current):
        inside ^= letter == '"'
        if letter == "," and not inside:
            end = place + 1
    return current[:end], current[end:]


def _beginning(current: str, offers: Iterable[Offer]) -> list[Offer]:
    found = {each.word: each for each in offers if each.word.startswith(current) and each.word.isprintable()}
    return list(found.values())[:MOST]


# The store, read without zarr and without a digest: what is offered is looked at again by the command


def store_of(line: Line) -> Path:
    """Return the store that a command line will use."""
    given = line.given.get("--store")
    if given:
        return Path(given[-1]).expanduser()
    variable = os.environ.get("FACELIME_STORE")
    if variable:
        return Path(variable)
    # Loaded only now: most stores are chosen otherwise.
    from facelime_cli import settings

    return Path(_set("store") or settings.STORE)


def _set(name: str) -> str | None:
    """Return what the settings say; a wrong file says nothing here, and its sentence comes with the command."""
    from facelime_cli import settings
    from facelime_cli.errors import FacelimeError

    try:
        found = settings.unchecked().get(name)
    except FacelimeError:
        return None
    return None if found is None else found.value


def artifacts(store: Path, kinds: Sequence[str], current: str) -> Iterator[Offer]:
    """Yield names and ids of the artifacts of some kinds, with the kind in front where it is typed.

    Parameters
    ----------
    store : Path
    kinds : sequence of str
    current : str
        The word at the cursor.

    Yields
    ------
    Offer
        Names first, each once.
    """
    kind, slash, _ = current.partition("/")
    if slash and kind in kinds:
        kinds = [kind]
    front = f"{kind}/" if slash else ""
    names: dict[str, str] = {}
    ids = []
    for each in kinds:
        for folder in _folders(store / each):
            ids.append(Offer(front + folder.name, each))
            names |= dict.fromkeys(_names(folder), each)
    for name in sorted(names):
        yield Offer(front + name, names[name])
    yield from ids


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as found:
            names = sorted(each.name for each in found if not each.name.startswith(".") and each.is_dir())
    except OSError:
        return []
    return [place / name for name in names]


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in os.scandir(folder / "names")]
    except OSError:
        return []


def named(line: Line, what: str) -> list[str]:
    """Return the classes or the pictures of what a command line refers to.

    Parameters
    ----------
    line : Line
    what : str
        `CLASSES` or `PICTURES`.

    Returns
    -------
    list of str
        Of the last reference that has some.
    """
    store = store_of(line)
    given = list(line.references())
    if "--model" in line.entry["options"] and (model := _set("model")):
        given.append((model, ["models"]))
    for reference, kinds in given:
        # The pictures that a model has learned from are not those that it is asked about.
        if what == PICTURES and kinds == ["models"]:
            continue
        folder = _resolved(store, reference, kinds)
        found = [] if folder is None else _held(store, folder, what)
        if found:
            return [each for each in found if each.isprintable()]
    return []


def _resolved(store: Path, reference: str, kinds: Sequence[str]) -> Path | None:
    """Return the folder that a reference means: an id, the newest of a name, or the only beginning."""
    kind, slash, rest = reference.partition("/")
    if slash and kind in kinds:
        kinds, reference = [kind], rest
    every = [folder for each in kinds for folder in _folders(store / each)]
    for alike in (
        [folder for folder in every if folder.name == reference],
        sorted((folder for folder in every if reference in _names(folder)), key=_age)[-1:],
        [folder for folder in every if folder.name.startswith(reference)],
    ):
        if len(alike) == 1:
            return alike[0]
    return None


def _age(folder: Path) -> float:
    try:
        return (folder / "manifest.json").stat().st_mtime
    except OSError:
        return 0.0


def _held(store: Path, folder: Path, what: str) -> list[str]:
    """Return the classes or the pictures of an artifact, or of the nearest that it was made from."""
    level, seen = [folder], set[Path]()
    while level:
        for each in level:
            found = _classes(each) if what == CLASSES else _ids(store, each)
            if found:
                return found
        seen.update(level)
        ahead = [store / kind / name for each in level for kind, name in _inputs(each)]
        level = [each for each in dict.fromkeys(ahead) if each not in seen]
    return []


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _inputs(folder: Path) -> list[tuple[str, str]]:
    """Return kind and id of what an artifact was made from; a store of somebody else leads nowhere else."""
    given = [(each.get("kind"), each.get("id")) for each in _json(folder / "layout.json").get("inputs", {}).values()]
    return [(kind, name) for kind, name in given if kind in KINDS and name and Path(name).name == name]


def _classes(folder: Path) -> list[str]:
    for file in ("layout.json", "manifest.json"):
        found = _json(folder / file).get("facts", {}).get("classes")
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
    return []


def _ids(store: Path, folder: Path) -> list[str]:
    """Return the ids of an artifact's pictures: from a text that is kept beside it, and is made at the first Tab."""
    if "id" not in _json(folder / "layout.json").get("arrays", {}):
        return []
    from facelime_cli.store import digests

    kept = folder / "kept" / digests.of_value(KEY) / IDS
    try:
        return kept.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return _ids_of_array(store, folder)


def _ids_of_array(store: Path, folder: Path) -> list[str]:
    """Return the ids from the array, and keep them as text where the store may be written."""
    from facelime_cli.errors import FacelimeError
    from facelime_cli.store.references import Store

    try:
        artifact = Store(store).stored(folder.parent.name, folder.name).require_complete()
        ids = [each for each in artifact.texts("id") if each.isprintable()]
    except FacelimeError:
        return []
    with suppress(OSError, FacelimeError):
        artifact.kept(KEY, lambda place: _write(place / IDS, ids))
    return ids


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# How shells write words


def split(line: str) -> tuple[list[str], str]:
    r"""Return the whole words of a line of bash, and the word at its end as it is typed, quotes and all.

    Parameters
    ----------
    line : str
        From the command to the cursor.

    Returns
    -------
    words : list of str
    current : str

    Examples
    --------
    >>> split("facelime show 'a b' --classes lung\\ op")
    (['facelime', 'show', 'a b', '--classes'], 'lung\\ op')
    """
    words, begun, quote, place = [], None, "", 0
    while place < len(line):
        letter = line[place]
        if letter == "\\" and quote != "'":
            begun = place if begun is None else begun
            place += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter.isspace():
            if begun is not None:
                words.append(unquoted(line[begun:place]))
            begun = None
        else:
            begun = place if begun is None else begun
            quote = letter if letter in "'\"" else ""
        place += 1
    return words, "" if begun is None else line[begun:]


def unquoted(word: str) -> str:
    r"""Return a typed word without the quotes and backslashes of a shell; a quote may be still open.

    Parameters
    ----------
    word : str

    Examples
    --------
    >>> unquoted("lung\\ op"), unquoted("'a b"), unquoted("--x='a b'")
    ('lung op', 'a b', '--x=a b')
    """
    found, quote, place = [], "", 0
    while place < len(word):
        letter = word[place]
        if letter == "\\" and quote != "'":
            place += 1
            found.append(word[place : place + 1])
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        else:
            found.append(letter)
        place += 1
    return "".join(found)


def _for_bash(offers: Iterable[Offer], current: str, breaks: str) -> Iterator[str]:
    """Yield words as bash takes them: it replaces only what stands behind the last of the letters that break words."""
    quoted = next((letter for letter in current if letter in "'\""), "")
    typed = current.partition(quoted)[0] if quoted else current
    end = max(
        (place + 1 for place, letter in enumerate(typed) if letter in breaks and letter not in "\\\"'"), default=0
    )
    # What stands before an open quote stays as it is.
    left = len(unquoted(typed if quoted else typed[:end]))
    for each in offers:
        word = each.word[left:]
        yield word if quoted else "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in word)
