"""Joining the views of some pictures into one explanation, unit by unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.predicting.fitting import by_class
from facelime_cli.store.arrays import ArraySpec
from facelime_cli.store.explanations import SCALARS, answer_facts, explanation_arrays, measure_of, scalars_in
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.consensus import Consensus, View
    from facelime_cli.store.artifacts import Artifact

BY_SEGMENT = {
    "coefficients": float("nan"),
    "interval": float("nan"),
    "p_sign": float("nan"),
    "votes": 0,
    "agreement": float("nan"),
}
"""Arrays with a value for every segment, and what stands beyond a picture's own."""
MEANS = ("intercept", "local_prediction", "r2", "rmse")
"""Figures of fidelity that are those of the views on average."""


@dataclass(frozen=True)
class Joining:
    """Views of the same pictures and model.

    Attributes
    ----------
    views : sequence of Artifact
        Surrogates of `fit-surrogate`.
    carrier : Artifact
        The segments to answer on.
    top : int
        How many of the strongest segments `topk_repeat` is about.
    """

    views: Sequence[Artifact]
    carrier: Artifact
    top: int

    @property
    def model(self) -> Artifact:
        """The model that is explained."""
        return self.views[0].input("models")

    @property
    def fills(self) -> list[str]:
        """The fill of each view."""
        return [str(each.input("masks").parameters["fill"]) for each in self.views]

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the views."""
        views = []
        for each, fill in zip(self.views, self.fills, strict=True):
            masks = each.input("masks")
            views.append(
                {
                    "surrogates": each.reference,
                    "fill": fill,
                    "donor": masks.parameters.get("donor", 1),
                    "segments": each.input("segments").parameters.get("segments"),
                    "samples": masks.parameters["samples"],
                }
            )
        return {
            **answer_facts(self.views[0]),
            "method": f"LIME, consensus of {len(views)} views",
            "fills": list(dict.fromkeys(self.fills)),
            "views": views,
        }

    def arrays(self) -> dict[str, ArraySpec]:
        """Return what every explanation has, and the votes of the views."""
        n_classes = self.views[0].shape("coefficients")[1]
        measure = measure_of(self.model)
        arrays = explanation_arrays(self.carrier, n_classes, measure, scalars_in(measure))
        per_segment, axes = arrays["coefficients"].shape, arrays["coefficients"].dimensions
        n = per_segment[0]
        answers = ArraySpec("float32", (n, n_classes), ("picture", "class"), float("nan"), measure)
        return {
            **arrays,
            "votes": ArraySpec("int16", per_segment, axes, 0),
            "agreement": ArraySpec("float32", per_segment, axes, float("nan")),
            "first": ArraySpec("int32", (n, n_classes, len(set(self.fills))), ("picture", "class", "fill"), -1),
            "probabilities": answers,
        }

    def parts(self, artifact: Artifact, rows: slice) -> dict[str, NDArray[Any]]:
        """Return what a unit writes into every array.

        Parameters
        ----------
        artifact : Artifact
            The consensus that is made.
        rows : slice
            The unit's pictures.
        """
        import numpy as np

        views = [_ReadView.of(each, rows) for each in self.views]
        carriers, ids = self.carrier.read("segments", rows), artifact.texts("id", rows)
        found = [self._joined(views, row, carrier, ids[row]) for row, carrier in enumerate(carriers)]
        widest = artifact.shape("coefficients")[2]
        arrays = {"probabilities": self.views[0].input("predictions").read("probabilities", rows)[:, 0]}
        for name in found[0]:
            values = [each[name] for each in found]
            missing = BY_SEGMENT.get(name)
            arrays[name] = np.stack(values) if missing is None else by_class(values, widest, missing)
        return arrays

    def _joined(
        self, views: list[_ReadView], row: int, carrier: NDArray[np.uint16], picture_id: str
    ) -> dict[str, NDArray[Any]]:
        """Return the arrays of one picture; those by segment have the segment first."""
        import numpy as np

        from facelime_cli.core import consensus
        from facelime_cli.core.fidelity import distinct
        from facelime_cli.core.masks import key_of

        every = [view.view(row) for view in views]
        joined = consensus.join(every, carrier)
        first = consensus.first_by_fill(every, self.fills, carrier)
        before = [view.arrays["verdict"][row].tolist() for view in views]
        n_samples = sum(int(view.n_samples[row]) for view in views)
        found = {name: getattr(joined, name) for name in BY_SEGMENT}
        found |= {name: np.mean([view.arrays[name][row] for view in views], axis=0) for name in MEANS}
        tops = distinct(joined.interval, self.top)
        return found | {
            "effective_samples": np.sum([view.arrays["effective_samples"][row] for view in views], axis=0),
            "topk_repeat": _repeats(joined, tops, key_of(0, picture_id, "consensus")),
            "first": np.stack(list(first.values()), axis=-1),
            "verdict": np.array(consensus.verdicts(joined, before, n_samples, self.top), dtype=object),
        }


@dataclass(frozen=True)
class _ReadView:
    """The arrays of one view, for the pictures of a unit."""

    arrays: dict[str, NDArray[Any]]
    segments: NDArray[np.uint16]
    counts: NDArray[np.int32]
    n_samples: NDArray[np.int32]

    @classmethod
    def of(cls, surrogates: Artifact, rows: slice) -> _ReadView:
        arrays = {name: surrogates.read(name, rows) for name in ("coefficients", "interval", "verdict", *SCALARS)}
        pictures = Segmented(surrogates)
        n_samples = pictures.masks.read("n_samples", rows)
        return cls(arrays, pictures.segments(rows), pictures.counts(rows), n_samples)

    def view(self, row: int) -> View:
        from facelime_cli.core.consensus import View

        count = int(self.counts[row])
        # Functions on arrays have the segment first, artifacts the class.
        coefficients, interval = (
            self.arrays[name][row][:, :count].swapaxes(0, 1) for name in ("coefficients", "interval")
        )
        return View(self.segments[row], coefficients, interval)


def _repeats(joined: Consensus, tops: NDArray[np.int64], key: int) -> NDArray[np.float64]:
    """Return the chance that other views find the same strongest segments, NaN where there is no interval: (C,)."""
    import numpy as np

    from facelime_cli.core import consensus
    from facelime_cli.core.fidelity import repeats

    found = np.full(joined.coefficients.shape[1], np.nan)
    for c, top in enumerate(tops.tolist()):
        coefficients = joined.coefficients[:, c]
        if np.isfinite(joined.interval[:, c]).all() and coefficients.any():
            found[c] = repeats(coefficients, consensus.draws(joined, key, c), top)
    return found
