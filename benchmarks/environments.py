"""Make an environment for each peer on first use, in a cache folder.

So the packages of a peer cannot disturb facelime's, or those of another peer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

KERAS = ("tensorflow", "keras", "numpy", "scikit-learn")
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


@dataclass(frozen=True)
class Peer:
    """A contender's packages.

    Attributes
    ----------
    packages : tuple of str
        What pip installs.
    pinned : bool
        Whether to take facelime's own versions, from `constraints.txt`.
    alone : tuple of str
        What pip installs without dependencies.
    """

    packages: tuple[str, ...]
    pinned: bool = True
    alone: tuple[str, ...] = ()


PEERS = {
    "lime": Peer(("lime==0.2.0.1", *KERAS)),
    "lime_without_model": Peer(("lime==0.2.0.1", *KERAS)),
    "notebook": Peer(("lime==0.2.0.1", *KERAS)),
    "captum_lime": Peer(("captum", "torch", "scikit-learn")),
    "captum_kernel_shap": Peer(("captum", "torch", "scikit-learn")),
    "torch_bare": Peer(("captum", "torch", "scikit-learn")),
    # Its dependencies include TensorFlow with CUDA, about 5 GB, on every Linux machine. It runs without that.
    "xplique": Peer(
        (
            "tensorflow==2.20.0",
            "tensorflow-probability[tf]<=0.25",
            "einops",
            "deprecated",
            "matplotlib",
            "opencv-python-headless",
            "scikit-image<=0.25.2",
            "scikit-learn",
        ),
        pinned=False,
        alone=("xplique==2.0.2",),
    ),
    "shap": Peer(("shap", *KERAS)),
}


@dataclass
class Environments:
    """Interpreters by contender: facelime's, one that the command line names, or one that is made here.

    Attributes
    ----------
    folder : Path
        Where environments are kept.
    named : dict
        From contenders to interpreters that the command line names.
    failed : dict
        From contenders that could not be installed to the reason.
    """

    folder: Path
    named: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)

    def interpreter(self, contender: str) -> str | None:
        """Return the interpreter for a contender, or None when its packages cannot be installed."""
        if contender not in PEERS:
            return sys.executable
        if contender in self.named:
            return self.named[contender]
        if contender in self.failed:
            return None
        try:
            return self._made(PEERS[contender])
        except subprocess.CalledProcessError as why:
            self.failed[contender] = _reason(why)
            return None

    def _made(self, peer: Peer) -> str:
        """Return the interpreter of a peer's environment, which is made whole or not at all."""
        digest = hashlib.sha256(repr(peer).encode()).hexdigest()
        place = self.folder / digest[:16]
        python = place / "bin" / "python"
        # Written last. Without it, an installation was stopped on its way.
        whole = place / ".whole"
        if not whole.exists():
            shutil.rmtree(place, ignore_errors=True)
            print(f"making an environment with {', '.join(peer.packages)} in {place}", file=sys.stderr, flush=True)
            _run(sys.executable, "-m", "venv", place)
            constraint = ["--constraint", CONSTRAINTS] if peer.pinned else []
            install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraint)
            _run(*install, *peer.packages)
            if peer.alone:
                _run(*install, "--no-deps", *peer.alone)
            whole.touch()
        return str(python)


def _run(*words: object) -> None:
    """Run a program, silently unless it fails."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


def _reason(failure: subprocess.CalledProcessError) -> str:
    """Return the line of a program's output that says best why it failed."""
    said = (failure.stderr or failure.stdout or "").strip().splitlines()
    # pip's last line is often advice about pip itself.
    errors = [line for line in said if line.startswith("ERROR")]
    if errors:
        return errors[-1]
    return said[-1] if said else f"exit code {failure.returncode}"


def cache_folder() -> Path:
    """Return where environments are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facelime-bench"
