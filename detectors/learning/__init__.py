"""The owner of what is normal: what is learned, left out, adopted and expected."""
