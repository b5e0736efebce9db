"""What of an artifact goes out when it is handed over: arrays, pictures and files, and what is told of its making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.store.artifacts import Artifact

TOLD = (
    "schema",
    "stage",
    "stage_version",
    "id",
    "name",
    "fingerprint",
    "parameters",
    "inputs",
    "n",
    "unit_pictures",
    "seed",
    "content",
    "arrays",
    "software",
    "hardware",
    "seconds",
    "finished",
)
"""What is told of an artifact whose pictures do not all go out."""
NAMELESS = frozenset(
    {
        "classes",
        "multilabel",
        "size",
        "counts",
        "shares",
        "groups",
        "files",
        "read",
        "format",
        "output",
        "recipe",
        "probe",
        "kept",
        "refit",
        "model",
        "weights",
        "fold",
        "class_weights",
        "validation",
        "test",
        "method",
        "layer",
        "reads",
        "numbers",
        "sets",
        "fills",
        "own",
        "views",
        "evaluations",
        "taken_over",
        "segments_per_picture",
    }
)
"""Facts that name no picture and no patient. A fact that is not listed stays at home."""
OF_NAMES = ("pictures", "group_pattern", "label_pattern")
"""Parameters that are a digest of names, which are few enough to try them all, and patterns that may hold one."""
NAMELESS_LEAKAGE = ("exact", "near", "trivial_rule", "trivial_rules", "marked")


@dataclass(frozen=True)
class Portion:
    """What of an artifact goes out.

    Attributes
    ----------
    arrays : tuple of str
    files : tuple of str
    rows : tuple of int or None
        The pictures; None stands for all.
    groups, table : bool
        Whether patients and lesions may be named, and values of the source's table be given.
    left_out : tuple of str
        What stays, as its reader is told.
    """

    arrays: tuple[str, ...]
    files: tuple[str, ...]
    rows: tuple[int, ...] | None = None
    groups: bool = False
    table: bool = False
    left_out: tuple[str, ...] = ()

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """Return what is told of the artifact itself.

        Parameters
        ----------
        artifact : Artifact

        Returns
        -------
        dict
            Its manifest, where all of it goes out.
        """
        manifest = artifact.manifest
        if self.rows is not None:
            return {**told(manifest), "arrays": self._arrays(manifest), "left_out": list(self.left_out)}
        if not self.left_out:
            return dict(manifest)
        # The digests of the whole manifest and of its units fit nothing any more.
        kept = {name: value for name, value in manifest.items() if name not in {"digest", "layout", "units"}}
        kept["arrays"] = {name: each for name, each in manifest["arrays"].items() if name in self.arrays}
        kept["files"] = {name: each for name, each in manifest["files"].items() if name in self.files}
        kept["facts"] = self._facts(manifest["facts"])
        return {**kept, "left_out": list(self.left_out)}

    def _arrays(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        return {name: each for name, each in told(manifest)["arrays"].items() if name in self.arrays}

    def _facts(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return facts without what may not be named. The report on leakage keeps its counts."""
        kept = dict(facts)
        leakage = kept.pop("leakage", None) if not self.groups else None
        if isinstance(leakage, dict):
            kept["leakage"] = {name: leakage[name] for name in NAMELESS_LEAKAGE if name in leakage}
        # A dataset lists its columns; a description gives values too.
        if not self.table and isinstance(kept.get("columns"), dict):
            del kept["columns"]
        return kept


def told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an artifact whose pictures do not all go out: nothing that names a picture or a patient.

    Parameters
    ----------
    manifest : mapping

    Returns
    -------
    dict
        Of its arrays without digests, since names are few enough to try them all.
    """
    found = {name: manifest[name] for name in TOLD if name in manifest}
    found["parameters"] = {name: each for name, each in manifest["parameters"].items() if name not in OF_NAMES}
    found["arrays"] = {
        name: {key: value for key, value in each.items() if key != "digest"}
        for name, each in manifest["arrays"].items()
        if not name.startswith("table/")
    }
    found["facts"] = {name: each for name, each in manifest["facts"].items() if name in NAMELESS}
    return found
