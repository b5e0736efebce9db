"""A store of artifacts: finding, naming, laying out, removing."""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import AmbiguousError, BrokenError, BusyError, FacelimeError, NotFoundError, WrongKindError
from facelime_cli.store import claims, files, manifests, presence, temporary
from facelime_cli.store.artifacts import EMPTY_FOLDERS, NAMES, Artifact
from facelime_cli.store.forms import ID, ID_DIGITS, LONGEST_NAME, NAME
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.presence import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.manifests import Identity


IDS = ".ids"
"""Folder of a kind that holds, by fingerprint, the id that was agreed on."""
LONGEST_ID_BYTES = 1000
MOST_BYTES = 200
"""Bytes of a name: with the digits of an id, a folder's name may have 255."""
MOST_NAMED = 8
"""Artifacts that a message names."""
BEFORE = ".before-"
"""How the name of a folder begins that `Store.scratch` returns."""
REMOVING = "removing-"
"""How the name of an artifact begins that is being deleted."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Rights of everybody but the owner."""
SALT = ".salt"
SALT_BYTES = 32


class Store:
    """A folder of artifacts, one sub-folder for each kind.

    Parameters
    ----------
    root : Path
        The folder; it is made with the first artifact.
    warn : callable
        Is told what a person should know, such as that others can read the store.

    Attributes
    ----------
    root : Path
        Whole, so that a model whose code changes the working folder cannot lead elsewhere.
    shown : Path
        As given, for people.
    aside : Path, optional
        Where goes what is made on the side, such as a converted model, while the store must stay as it is.
    """

    def __init__(self, root: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self.root, self.shown, self._warn = root.absolute(), root, warn
        self.aside: Path | None = None
        self._salt: bytes | None = None
        self._begun_as = files.identity(root)

    @property
    def places(self) -> list[Path]:
        """The folders of its kinds, whether they are there or not."""
        return [self.root.resolve() / kind for kind in KINDS]

    @property
    def is_gone(self) -> bool:
        """Whether its folder is not there any more, or is another one: zarr makes every folder that it misses."""
        return self._begun_as is not None and files.identity(self.root) != self._begun_as

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Leave the store as it is within the block; what is made on the side is thrown away at its end."""
        if self.aside is not None:  # the block around this one throws it away
            yield
            return
        with temporary.outside() as folder:
            self.aside = folder
            try:
                yield
            finally:
                self.aside = None

    @property
    def free_bytes(self) -> int:
        """How much room there is on its disk, also where the store is not begun yet."""
        there = self.root.absolute()
        while not there.exists():
            there = there.parent
        return shutil.disk_usage(there).free

    # Finding

    def artifacts(self, kinds: Iterable[str] = KINDS) -> list[Artifact]:
        """Return every artifact of some kinds, complete or not.

        Parameters
        ----------
        kinds : iterable of str
            Some of `KINDS`; by default all.

        Returns
        -------
        list of Artifact
            By kind and id.
        """
        found = []
        for kind in kinds:
            if (self.root / kind).is_symlink():
                self._warn(f"{self.root / kind} is a link and is passed over; put what it points to in its place.")
                continue
            paths = sorted((self.root / kind).glob("*"))
            # A dot begins what is no artifact: agreed ids, and folders of unfinished work.
            found += [Artifact(self, path) for path in paths if path.is_dir() and not path.name.startswith(".")]
        return found

    def stored(self, kind: str, artifact_id: str) -> Artifact:
        """Return the artifact of an exact kind and id: one that another's lineage names.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        artifact_id : str
            Its id.

        Returns
        -------
        Artifact
            Complete or not.

        Raises
        ------
        NotFoundError
            When it is gone.
        """
        path = self.root / kind / artifact_id
        if not path.is_dir():
            raise NotFoundError(
                f"{kind}/{artifact_id} is gone from {self.shown};"
                " make it again with the commands that `facelime show` gives."
            )
        return Artifact(self, path)

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """Return the artifact that a fingerprint names.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        fingerprint : str
            64 hexadecimal digits, see `Identity`.

        Returns
        -------
        Artifact or None
            None when nothing was laid out yet.
        """
        place = self.root / kind
        agreed = agreed_id(place, fingerprint)
        if agreed is not None:
            artifact = Artifact(self, place / agreed)
            if not artifact.path.is_dir():
                return None
            if artifact.fingerprint == fingerprint:
                return artifact
        # Without an agreed id, such as in a copied store, the digits at the end of an id lead to it.
        for path in sorted(place.glob(f"*-{fingerprint[:ID_DIGITS]}")):
            artifact = Artifact(self, path)
            if artifact.fingerprint == fingerprint:
                return artifact
        return None

    def resolve(self, reference: str, kinds: Sequence[str] = KINDS) -> Artifact:
        """Return what a reference means: exact id, exact name, unique prefix of an id, or path, in this order.

        Parameters
        ----------
        reference : str
            As a person gives it; a kind and `/` in front narrow it, `./` in front forces a path.
        kinds : sequence of str
            The kinds that a command reads.

        Returns
        -------
        Artifact
            Of these kinds, complete or not.

        Raises
        ------
        WrongKindError
            When it means an artifact of another kind.
        AmbiguousError
            When it is the beginning of several ids.
        NotFoundError
            When it means nothing.
        """
        explicit, _, rest = reference.partition("/")
        if explicit in KINDS and rest:
            if explicit not in kinds:
                raise _wrong_kind(reference, explicit, kinds)
            return self._resolve_among(rest, (explicit,), reference)
        others = self._elsewhere(reference, kinds)
        if others:
            raise _wrong_kind(reference, others[0].kind, kinds)
        return self._resolve_among(reference, kinds, reference)

    def _elsewhere(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        """Return what a reference means among other kinds.

        An exact id or name there wins over the beginning of an id among the kinds that are read.
        """
        # A person who gives a whole id or name means it; a prefix may be a chance.
        if self._exact(reference, kinds):
            return []
        others = [kind for kind in KINDS if kind not in kinds]
        exact = self._exact(reference, others)
        if exact or self._matches(reference, kinds):
            return exact
        return self._matches(reference, others)

    def _resolve_among(self, reference: str, kinds: Sequence[str], given: str) -> Artifact:
        """Return what a reference means among some kinds; `given` is what the person wrote."""
        # A file of the working folder may have the name of an artifact, so a path must look like one.
        forced = reference.startswith(("./", "../", "/"))
        found = [] if forced else self._matches(reference, kinds)
        if len(found) == 1:
            return found[0]
        if found:
            candidates = ", ".join(each.reference for each in found[:MOST_NAMED])
            more = f" and {len(found) - MOST_NAMED} others" if len(found) > MOST_NAMED else ""
            raise AmbiguousError(f"{given} could be {candidates}{more}; give more of the id.")
        path = Path(reference)
        # What comes through a pipe may hold what no path can.
        if "\0" in reference or not (path / manifests.LAYOUT).is_file():
            raise NotFoundError(
                f"nothing called {given!r} among the {' or '.join(kinds)} of {self.shown};"
                " `facelime status` lists what is there."
            )
        kind = path.absolute().parent.name
        if kind not in kinds:
            raise _wrong_kind(given, kind, kinds)
        # The inputs of an artifact are looked up in the store that was opened, where these may be missing or others.
        if path.resolve().parent.parent != self.root.resolve():
            raise NotFoundError(f"{given} is in another store; name that store with --store {path.parent.parent}.")
        return Artifact(self, path.absolute())

    def _matches(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        if not NAME.fullmatch(reference):
            return []
        exact = self._exact(reference, kinds)
        return exact or [each for each in self.artifacts(kinds) if each.id.startswith(reference)]

    def _exact(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        """Return the artifact with this id, or the newest with this name."""
        if not NAME.fullmatch(reference):
            return []
        everything = self.artifacts(kinds)
        found = [each for each in everything if each.id == reference]
        if found:
            return found
        named = [each for each in everything if reference in each.names]
        return [self._newest(named, reference)] if named else []

    def _newest(self, named: list[Artifact], name: str) -> Artifact:
        """Return the newest complete artifact of a name, or the newest of all when none is complete."""
        ready = [each for each in named if each.complete]
        if not ready:
            return max(named, key=lambda each: (each.path / manifests.LAYOUT).stat().st_mtime)
        # The manifest is written last, so its time is when the artifact was completed. The id decides between equals.
        newest = max(ready, key=lambda each: ((each.path / manifests.MANIFEST).stat().st_mtime, each.id))
        if len(ready) > 1:
            self._warn(
                f"{len(ready)} complete artifacts are called {name}; this uses the newest, {newest.reference}."
                " To use another, give its id."
            )
        return newest

    def dependents(self, artifact: Artifact) -> list[Artifact]:
        """Return the artifacts that were made directly from one.

        Parameters
        ----------
        artifact : Artifact
            The input.

        Returns
        -------
        list of Artifact
            By kind and id. Those that it was made from itself are left out: in a damaged store both may be true.
        """
        origins = {each.reference: _origins(each) for each in self.artifacts()}
        before = {artifact.reference}
        while ahead := set().union(*(origins.get(each, set()) for each in before)) - before:
            before |= ahead
        found = [each for each, its in origins.items() if artifact.reference in its and each not in before]
        return [self.stored(*each.split("/")) for each in found]

    # Making

    def create(self, kind: str, name: str, identity: Identity, inputs: Mapping[str, Any], layout: Layout) -> Artifact:
        """Lay an artifact out in a temporary folder, and rename it into place.

        Of several processes that do this at once, all get the artifact of the first.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        name : str
            A name that `check_name` allows.
        identity : Identity
            What makes it.
        inputs : mapping of str to mapping
            Kind, id and digest of each input.
        layout : Layout
            What it holds.

        Returns
        -------
        Artifact
            Laid out, with no unit done; or as far as another process is.

        Raises
        ------
        FacelimeError
            When the store cannot be written.
        """
        place = self.root / kind
        self._open_root(place)
        temporary.sweep([self.root, place, place / IDS])
        for scratch in place.glob(f"{BEFORE}*"):
            if temporary.is_old(scratch):
                shutil.rmtree(scratch, ignore_errors=True)
        # Beside its place: a rename is one step only within a file system. It is there before the id is agreed on, so
        # that nobody takes that id for one that was left behind.
        laying = temporary.beside(place / "laying")
        laying.mkdir(mode=0o700)
        try:
            artifact_id = _agree(place, identity.fingerprint, f"{name}-{identity.fingerprint[:ID_DIGITS]}")
            for folder in EMPTY_FOLDERS:
                (laying / folder).mkdir(mode=0o700)
            (laying / NAMES / name).touch()
            # Whoever finds the artifact with nothing in it must see that this process is about to work on it.
            presence.show(laying)
            manifests.write_layout(laying, artifact_id, name, identity, inputs, layout)
            # zarr makes every folder that is not there, also in the place of a disk that is gone.
            if not (laying / CLAIMS).is_dir():
                raise FacelimeError(f"the store {self.shown} is gone; connect its disk again, and repeat the command.")
            temporary.rename_or_lose(laying, place / artifact_id)
        finally:
            shutil.rmtree(laying, ignore_errors=True)
        files.sync(place)
        artifact = Artifact(self, place / artifact_id)
        if artifact.fingerprint != identity.fingerprint:
            raise BrokenError(
                f"{artifact.reference} stands where another artifact belongs;"
                f" remove it (`facelime remove {artifact.reference}`) and repeat the command."
            )
        return artifact

    def name(self, artifact: Artifact, name: str) -> None:
        """Give an artifact one more name.

        Parameters
        ----------
        artifact : Artifact
            Which.
        name : str
            A name that `check_name` allows; one that it has already changes nothing.
        """
        path = files.inside(artifact.path, f"{NAMES}/{name}")
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch()

    def rename(self, artifact: Artifact, old: str | None, new: str) -> None:
        """Give an artifact a name in the place of another; its id stays, so that whoever works on it finds it.

        Parameters
        ----------
        artifact : Artifact
            Which.
        old : str or None
            The name that goes; None where none does.
        new : str
            A name that `check_name` allows.
        """
        self.name(artifact, new)
        # The new name is on the disk before the old one goes: a kill leaves both, and never none.
        files.sync(artifact.path / NAMES)
        if old is not None and old != new:
            files.inside(artifact.path, f"{NAMES}/{old}").unlink(missing_ok=True)
            files.sync(artifact.path / NAMES)

    def remove(self, artifact: Artifact, check: Callable[[], None] = lambda: None) -> None:
        """Delete an artifact.

        Parameters
        ----------
        artifact : Artifact
            Which; that nothing was made from it is for the caller to see, with `dependents`.
        check : callable
            Is called when nobody finds the artifact any more, and before anything of it is deleted. When it raises,
            the artifact is put back.

        Raises
        ------
        BusyError
            When a live process of this host works on it.
        FacelimeError
            When it is a symbolic link, or lies behind one: what that points to is not the store's to delete.
        """
        place = files.inside(self.root, artifact.kind)
        ids = files.inside(place, IDS)
        if artifact.path.is_symlink():
            raise FacelimeError(
                f"{artifact.reference} is a symbolic link to {artifact.path.readlink()}, and nothing was deleted;"
                f" to delete the link alone, `rm {artifact.path}`."
            )
        artifact.refuse_if_busy()
        presence.refuse_if_attended(artifact.path)
        # One step makes it invisible; deleting many files may be interrupted, and `clean` knows what is left then.
        gone = temporary.beside(artifact.path.with_name(f"{REMOVING}{artifact.id}"))
        artifact.path.rename(gone)
        try:
            # Whoever has begun meanwhile has shown it in the folder, and goes on in it.
            try:
                claims.refuse_if_held(gone / CLAIMS)
                presence.refuse_if_attended(gone)
            except BusyError as why:
                begun = f"a process has just begun to work on {artifact.reference}"
                raise BusyError(f"{begun}; wait for it, or end it.") from why
            check()
        except BaseException:
            gone.rename(artifact.path)
            raise
        # The same fingerprint may get another id next time.
        for agreed in ids.glob(f"{artifact.id.rpartition('-')[2]}*"):
            if is_orphan(agreed):
                agreed.unlink(missing_ok=True)
        shutil.rmtree(gone)

    def scratch(self, kind: str, key: str) -> Path:
        """Return a folder for what must be known before an artifact can be laid out, and should survive a kill.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        key : str
            What tells it from others, such as a digest.

        Returns
        -------
        Path
            The folder; `clear` it once the artifact is there.

        Raises
        ------
        FacelimeError
            When the store cannot be written.
        """
        place = self.root / kind
        self._open_root(place)
        folder = _scratch(place, key)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def clear(self, kind: str, key: str) -> None:
        """Remove a folder of `scratch`, if it is there.

        Parameters
        ----------
        kind : str
            As given to `scratch`.
        key : str
            As given to `scratch`.
        """
        shutil.rmtree(_scratch(self.root / kind, key), ignore_errors=True)

    def salt(self) -> bytes:
        """Return this store's secret. A new one is not written before `keep_salt`, so that a plan begins no store.

        A patient's number is hashed with it, so that nobody without the store can try all numbers.

        Returns
        -------
        bytes
            The same at every call.
        """
        if self._salt is None:
            path = self.root / SALT
            self._salt = _read_salt(path) if path.exists() else os.urandom(SALT_BYTES)
        return self._salt

    def keep_salt(self) -> None:
        """Write the secret that `salt` has returned, if it has returned one.

        Raises
        ------
        BusyError
            When another process has written another secret meanwhile.
        """
        if self._salt is None:
            return
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if files.write_secret(self.root / SALT, self._salt) != self._salt:
            raise BusyError(f"another process has just begun the store {self.shown}; repeat the command.")

    def _open_root(self, place: Path) -> None:
        """Make the folder of a kind; an existing root keeps its mode, with a warning where others can read it."""
        # The root may be a link of the user's own; what is below it may have come with the store.
        files.inside(self.root, place.name)
        try:
            if not self.root.exists():
                self.root.mkdir(mode=0o700, parents=True)
            # A group may share a store on purpose, so its mode is not changed.
            elif self.root.stat().st_mode & OTHERS:
                self._warn(
                    f"others on this machine can read the store {self.shown}; `chmod 700 {self.shown}` closes it."
                )
            self._begun_as = self._begun_as or files.identity(self.root)
            place.mkdir(mode=0o700, exist_ok=True)
            self._close_salt()
        except OSError as why:
            raise self._unwritable(str(why.strerror)) from why
        # Making a folder that is there already succeeds without the right to write into it.
        if not os.access(place, os.W_OK | os.X_OK):
            read_only = os.statvfs(place).f_flag & os.ST_RDONLY
            raise self._unwritable("read-only disk" if read_only else "no permission")

    def _close_salt(self) -> None:
        """Take the secret from everybody but its owner: earlier versions left it open."""
        salt = self.root / SALT
        if salt.exists() and files.close_to_others(salt):
            self._warn(
                f"others on this machine could read the secret {salt}, with which patients' numbers are hashed; "
                "now its owner alone can."
            )

    def _unwritable(self, reason: str) -> FacelimeError:
        return FacelimeError(
            f"the store {self.shown} cannot be written ({reason}); choose another with --store or FACELIME_STORE."
        )


def check_name(name: str, word: str = "--name") -> str:
    """Return a name when it can be part of an id and of a folder.

    Parameters
    ----------
    name : str
        As a person gives it.
    word : str
        What it was given as, for the message.

    Returns
    -------
    str
        The same.

    Raises
    ------
    FacelimeError
        When it cannot.
    """
    if not NAME.fullmatch(name) or len(name.encode()) > MOST_BYTES:
        raise FacelimeError(
            f"{name!r} cannot be a name; change {word}. A name begins with a letter or digit and has at most"
            f" {LONGEST_NAME} letters, digits, '.', '-', '_' and '+', in {MOST_BYTES} bytes."
        )
    return name


def name_from(text: str) -> str:
    """Return a name made from any text.

    Parameters
    ----------
    text : str
        Such as the name of a file.

    Returns
    -------
    str
        A name that `check_name` allows.
    """
    # Cut first, matched last: what is left may be empty, or begin with what no name may begin with.
    cut = re.sub(r"[^\w.+-]+", "-", text).strip("-._+")[:LONGEST_NAME]
    # A letter of another script has up to four bytes.
    cut = cut.encode()[:MOST_BYTES].decode(errors="ignore")
    return cut if NAME.fullmatch(cut) else "artifact"


def _origins(artifact: Artifact) -> set[str]:
    """Return the references of what an artifact was made from."""
    return {f"{given['kind']}/{given['id']}" for given in artifact.inputs.values() if "id" in given}


def _read_salt(path: Path) -> bytes:
    try:
        salt = files.read_small(path)
    except PermissionError as why:
        raise FacelimeError(
            f"the secret {path} belongs to another user, and the patients of DICOM files are hashed with it; "
            "let that user run this command, or choose another store with --store."
        ) from why
    # With an empty secret, a hash would hide nothing.
    if len(salt) != SALT_BYTES:
        raise BrokenError(
            f"the secret {path} has {len(salt)} bytes in place of {SALT_BYTES}; restore it from a copy, or remove it: "
            "then patients get other hashes."
        )
    return salt


def _wrong_kind(reference: str, kind: str, kinds: Sequence[str]) -> WrongKindError:
    return WrongKindError(
        f"{reference} is of kind {kind}, but this command reads {' or '.join(kinds)};"
        " `facelime status` lists what is there."
    )


def agreed_id(place: Path, fingerprint: str) -> str | None:
    """Return the id under which a fingerprint was laid out.

    Parameters
    ----------
    place : Path
        The folder of a kind.
    fingerprint : str
        64 hexadecimal digits.

    Returns
    -------
    str or None
        None when nothing was agreed on, or when what is written there is damaged.
    """
    try:
        text = files.read_small(files.inside(place, f"{IDS}/{fingerprint}"), LONGEST_ID_BYTES).decode()
    except (OSError, BrokenError, UnicodeDecodeError):
        return None
    return text if ID.fullmatch(text) and text.endswith(fingerprint[:ID_DIGITS]) else None


def _agree(place: Path, fingerprint: str, proposed: str) -> str:
    """Return the id under which a fingerprint is laid out.

    Whoever proposes first decides, also for those who call it otherwise.
    """
    path = files.inside(place, IDS)
    path.mkdir(mode=0o700, exist_ok=True)
    path /= fingerprint
    # What cannot be read agrees on nothing.
    if agreed_id(place, fingerprint) is None:
        temporary.delete(path)
    if files.write_first(path, proposed.encode()):
        return proposed
    return agreed_id(place, fingerprint) or proposed


def is_orphan(agreed: Path) -> bool:
    """Return whether an agreed id is of no artifact that is there.

    Parameters
    ----------
    agreed : Path
        A file in the folder `IDS` of a kind.

    Returns
    -------
    bool
        Also true where the file does not hold an id.
    """
    place = agreed.parent.parent
    name = agreed_id(place, agreed.name)
    return name is None or not (place / name).is_dir()


def _scratch(place: Path, key: str) -> Path:
    return place / f"{BEFORE}{key}"
