"""Evaluations of perturbed pictures: batches, commits, reuse, forecast."""
