"""Pipelines as jobs of a scheduler."""
