"""Explanations as a reader sees them: report, pages, previews."""
