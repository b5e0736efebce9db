"""Pictures of numbers: charts, curves, figures, sheets, thumbnails."""
