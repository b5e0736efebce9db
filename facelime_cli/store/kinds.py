"""Kinds of artifacts: light, because help and completion read them."""

KINDS = ("datasets", "models", "evaluations", "segments", "masks", "predictions", "surrogates", "checks", "reports")
"""Folders of a store, in the order of the work."""
TRAINED = "models"
"""The kind whose units are trainings, and no pictures."""
