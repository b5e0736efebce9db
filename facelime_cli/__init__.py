"""What a medical image classifier looks at, and whether that answer can be trusted."""

__version__ = "0.1.0"
