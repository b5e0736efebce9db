"""Explanations for other programs: maps and regions on the original pictures, and a file for a stranger."""
