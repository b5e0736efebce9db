"""A whole pipeline as job scripts: its steps and their names, and what an engine for clusters runs of them."""
