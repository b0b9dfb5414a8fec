"""SQL of this package."""
