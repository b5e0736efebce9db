"""Preparing a dataset: which pictures there are, what is wrong with them, how they are divided, what they become."""
