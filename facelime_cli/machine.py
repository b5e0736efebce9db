"""The machine: versions and hardware for manifests, without host, path or user; and where a user's own files lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from facelime_cli import __version__
from facelime_cli.errors import FacelimeError

PACKAGES = {
    "numpy": "numpy",
    "zarr": "zarr",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "torch": "torch",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "matplotlib": "matplotlib",
}
"""Packages that can change a result: the module's name, and the name that it is installed under."""
LONGEST_NAME = 100
"""Characters of a name that a scheduler gives."""


def software() -> dict[str, str]:
    """Return the versions of Python, of facelime and of every package that this process has imported."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "facelime": __version__}
    for module, package in PACKAGES.items():
        # A package that was not imported had no part in the result, and importing it takes seconds.
        if module in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
    return found


def hardware() -> dict[str, Any]:
    """Return what the machine is: system, processor, cores that this process may use."""
    import platform

    return {"system": platform.system(), "machine": platform.machine(), "processor": _processor(), "cores": cores()}


def cards() -> list[str]:
    """Return the NVIDIA cards as their driver names them, and which of them this process may use; nothing is imported.

    Returns
    -------
    list of str
        Empty where there is none, and where the system does not tell.
    """
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [*found, f"visible: {visible}"] if found and visible is not None else found


def cores() -> int:
    """Return the number of cores that this process may use."""
    # A cluster gives a job some of a machine's cores; only Linux tells which.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def give_back_memory() -> None:
    """Give memory that was freed back to the system, where its allocator would keep it: glibc's does."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def free_memory() -> int:
    """Return the bytes of memory that are free; where the system does not tell, more than any machine has."""
    try:
        with Path("/proc/meminfo").open(encoding="utf-8") as lines:
            found = next((line for line in lines if line.startswith("MemAvailable:")), "")
        return int(found.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return sys.maxsize


def peak_memory() -> int:
    """Return the most memory that this process has had at a time.

    Returns
    -------
    int
        Bytes; 0 where the system does not tell.
    """
    # Not `getrusage`: on Linux it counts what the process that started this one had.
    try:
        with Path("/proc/self/status").open(encoding="utf-8") as lines:
            found = next((line for line in lines if line.startswith("VmHWM:")), "")
        return int(found.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0


def job() -> dict[str, str]:
    """Return what Slurm says of the job that this process is in: its number, its node, and how often it was sent again.

    Returns
    -------
    dict of str to str
        Empty outside a job.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    found = {
        "job": f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", ""),
        "node": os.environ.get("SLURMD_NODENAME", ""),
        "restarts": os.environ.get("SLURM_RESTART_COUNT", ""),
    }
    return {name: text[:LONGEST_NAME] for name, text in found.items() if text}


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(named, "")
    except OSError:
        import platform

        return platform.processor()


def state_folder() -> Path:
    """Return the folder of what facelime keeps for this user: `$XDG_STATE_HOME/facelime`.

    Returns
    -------
    Path
        It may not be there yet.

    Raises
    ------
    FacelimeError
        Where the user has no home.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    # A relative one is ignored (XDG Base Directory Specification): it would be another in every folder.
    if given.is_absolute():
        return given / "facelime"
    try:
        return Path.home() / ".local" / "state" / "facelime"
    except RuntimeError as why:
        raise FacelimeError("you have no home folder; set XDG_STATE_HOME to a folder of yours.") from why
