"""Make a small store with every kind of artifact, and pack it as test data: what today's facelime leaves behind.

    python tests/data/make.py NAME

writes `tests/data/NAME.tar.xz`. It runs the `facelime_cli` that Python finds first, so that code of another day makes a
store of that day:

    PYTHONPATH=<a checkout of that day> python tests/data/make.py NAME

A command that this code does not have is left out. The pictures are drawn here, and show no person.
"""

import argparse
import io
import lzma
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
PICTURES, SIDE = 8, 32
COMMANDS = """
preprocess pictures --size 32 --split 50:25:25 --name drawn
import-model tiny.keras --classes plain,spotted --scaling 0..1 --name tiny
describe drawn
evaluate tiny --dataset drawn --split all --bootstrap 100
segment drawn --split test --method slic --segments 6 --name parts
perturb parts --samples 40 --fill mean --name masks
predict masks --model tiny --batch-size 8 --name answers
fit-surrogate answers --name one
perturb parts --samples 40 --fill black --name masks-black
predict masks-black --model tiny --batch-size 8 --name answers-black
fit-surrogate answers-black --name two
gradcam parts --model tiny --name cam
occlusion masks --model tiny --name occluded
contrast one --class spotted --versus plain --name versus
compare one two
consensus surrogates/one surrogates/two --name both
check surrogates/both --name checked
render surrogates/one --name page
"""
LARGEST = 300_000
"""Bytes of a packed store."""
MISSING = "No such command"


def write_pictures(folder: Path) -> None:
    """Draw discs on four colours; every other one has a red spot."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(PICTURES):
        rng = np.random.default_rng(number)
        picture = np.stack([60 + 3 * rows, 80 + 2 * columns, 100 + rows + columns], axis=-1)
        picture[: SIDE // 2] += rng.integers(-50, 51, size=3)
        picture[:, : SIDE // 2] += rng.integers(-50, 51, size=3)
        centre = rng.integers(13, 19, size=2)
        picture[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 80] = rng.integers(150, 200, size=3)
        if number % 2:
            picture[(rows - centre[0] - 3) ** 2 + (columns - centre[1] + 2) ** 2 < 12] = [230, 50, 50]
        path = folder / ("plain", "spotted")[number % 2] / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)


def write_model(path: Path) -> None:
    """Write a network of a few hundred weights."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 5, strides=4, activation="relu")])
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(2, activation="softmax"))
    model.save(path)


def run(folder: Path) -> None:
    """Run the commands in a folder, whose `store` is the result."""
    for line in COMMANDS.strip().splitlines():
        words = [sys.executable, "-m", "facelime_cli", *line.split(), "--store", "store"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode and MISSING not in done.stderr:
            raise SystemExit(f"facelime {line}\n{done.stderr}")
        print(f"facelime {line}: {'left out' if done.returncode else done.stdout.strip()}")


def pack(store: Path) -> bytes:
    """Return a store as one file, without owners and times; claims are only of the process that held them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(store.rglob("*")):
            inside = path.relative_to(store)
            if path.is_file() and "claims" in inside.parts:
                continue
            member = tarfile.TarInfo(inside.as_posix())
            member.mode = 0o700 if path.is_dir() else 0o600
            member.type = tarfile.DIRTYPE if path.is_dir() else tarfile.REGTYPE
            content = b"" if path.is_dir() else path.read_bytes()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return lzma.compress(packed.getvalue(), preset=9)


def main() -> int:
    """Make, pack and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of the file, such as the day of the code")
    name = parser.parse_args().name
    if not re.fullmatch(r"[\w.-]+", name):
        parser.error("the name should have only letters, digits, dots and dashes")
    with tempfile.TemporaryDirectory(prefix="facelime-data-") as temporary:
        folder = Path(temporary)
        write_pictures(folder / "pictures")
        write_model(folder / "tiny.keras")
        run(folder)
        packed = pack(folder / "store")
    if len(packed) > LARGEST:
        raise SystemExit(f"{len(packed):,} bytes are more than {LARGEST:,}; leave something out.")
    (HERE / f"{name}.tar.xz").write_bytes(packed)
    print(f"{name}.tar.xz: {len(packed):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
