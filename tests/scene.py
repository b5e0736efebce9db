"""A small store with something for every command, and how each is run when the process or the disk breaks down."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from facelime_cli.store.references import Store
from tests.crashing import Forks
from tests.support import write_faces

PICTURES = 34
"""Two units."""
BASE = """
preprocess {faces} --size 24 --name data --workers 1
finetune data --backbone cnn-small --epochs 1 --batch-size 16 --name net
segment data --method grid --segments 4 --name segments --workers 1
segment data --method grid --segments 4 --first 2 --name few --workers 1
perturb segments --samples 10 --fill blur --name masks --workers 1
perturb segments --samples 16 --fill mean --name unasked --workers 1
perturb few --samples 12 --fill blur --name blurred --workers 1
perturb few --samples 12 --fill mean --name meant --workers 1
predict masks --model net --batch-size 64 --name answers
predict blurred --model net --batch-size 16 --name answers-blurred
predict meant --model net --batch-size 16 --name answers-meant
fit-surrogate answers-blurred --name first --workers 1
fit-surrogate answers-meant --name second --workers 1
"""


@dataclass(frozen=True)
class Case:
    """One command that is killed, and at how many points."""

    words: str
    points: int
    moments: int = 2
    repeatable: bool = True
    """Whether it gives the same content every time."""
    before: tuple[str, ...] = ()
    """Commands that run before it."""
    after: tuple[str, ...] = ()
    """Commands that run after it, in place of comparing what it makes."""
    finished: str = ""
    """What it says when the killed one had done everything."""
    breaks: str = ""
    """Files that are damaged before it."""


CASES = {
    "preprocess": Case("preprocess {flat} --size 20 --name killed --workers 1", 24),
    "segment": Case("segment data --method grid --segments 9 --name killed --workers 1", 16),
    "perturb": Case("perturb segments --samples 14 --fill mean --name killed --workers 1", 16),
    "predict": Case("predict unasked --model net --batch-size 32 --name killed", 14),
    "fit-surrogate": Case("fit-surrogate answers --name killed --workers 1", 16),
    "consensus": Case("consensus first second --name killed", 14),
    "check": Case("check first --name killed --workers 1", 12),
    "render": Case("render first --name killed --workers 1", 14),
    # Two views: stages run at the same time, and any of them may be half done.
    "explain": Case(
        "explain data --model net --method grid --segments 4 --samples 101 --views scales --batch-size 64 --regions 1"
        " --name killed --workers 1",
        10,
        4,
    ),
    "finetune": Case("finetune data --backbone cnn-small --epochs 2 --name killed", 8, repeatable=False),
    "describe": Case("describe data --name killed", 8),
    "import-model": Case("import-model {net} --classes normal,rosacea --scaling 0..1 --name killed", 8),
    "export": Case("export surrogates/first --to {out}/out.h5 --force", 4, 4),
    "show": Case("show segments/few --png {out}/out.png", 3, finished="exists already"),
    "remove": Case("remove surrogates/first --yes", 24, 4, finished="nothing called"),
    "remove, with children": Case("remove data --with-children --yes", 12, 4, finished="nothing called"),
    "prune": Case("prune --unused --kind masks,predictions,surrogates --yes", 12, 4),
    "rename": Case("rename surrogates/first renamed", 6, 2, finished="nothing called"),
    "repair": Case(
        "repair surrogates/first",
        8,
        before=("render first --name of-it --workers 1",),
        after=("fit-surrogate answers-blurred --name first --workers 1", "verify"),
        breaks="surrogates/first-*/arrays.zarr/coefficients/c.0*",
    ),
}


@dataclass
class Scene:
    """The base store, and the process that forks."""

    forks: Forks
    folder: Path
    kills: list = field(default_factory=list)

    def copy(self, name, case):
        """Return a fresh folder with a copy of the store, and with what the case needs done before."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        return self.fill(place, case)

    def fill(self, place, case):
        """Copy the store into a folder, and do what the case needs done before."""
        shutil.copytree(self.folder / "base", place / "store", symlinks=True)
        (place / "out").mkdir()
        for words in case.before:
            self.must(words, place)
        for path in (place / "store").glob(case.breaks) if case.breaks else ():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 4
            path.write_bytes(content)
        return place

    def words(self, text, place):
        net = self.folder / "net.keras"
        return text.format(flat=self.folder / "flat", out=place / "out", net=net).split()

    def run(self, text, place, **how):
        return self.forks(*self.words(text, place), store=place / "store", **how)

    def must(self, text, place):
        done = self.run(text, place)
        assert done["code"] == 0, (text, done)
        return done


def files_of(place):
    """Return everything in a store and beside it, apart from logs."""
    paths = (path.relative_to(place) for path in place.rglob("*"))
    return {str(path) for path in paths if "logs" not in path.parts[:-1]}


def contents_of(place):
    return {each.reference: each.content for each in Store(place / "store").artifacts() if each.complete}


def half_in_sight(place):
    """Return what a person would see of an artifact that is neither whole nor known as unfinished."""
    found = []
    for each in Store(place / "store").artifacts():
        if each.complete:
            gone = [name for name in each.manifest["files"] if not (each.path / name).exists()]
            found += [f"{each.reference} lacks {name}" for name in gone]
        elif not (each.layout["arrays"].keys() >= set() and (each.path / "units").is_dir()):
            found.append(f"{each.reference} has no records")
    return found


def make(folder):
    """Make the base store, through the command line."""
    write_faces(folder / "faces", PICTURES)
    # Without classes nothing is looked for that could leak, which takes seconds.
    (folder / "flat").mkdir()
    for path in (folder / "faces").glob("*/*.png"):
        shutil.copy(path, folder / "flat")
    scene = Scene(Forks.start(folder / "log"), folder)
    base = folder / "base"
    for line in BASE.strip().splitlines():
        done = scene.forks(*line.format(faces=folder / "faces").split(), store=base)
        assert done["code"] == 0, (line, done)
    shutil.copy(next(base.glob("models/net-*/model.keras")), folder / "net.keras")
    return scene
