"""Models from outside: what a source is, whether it may come in, and what is kept of it."""
