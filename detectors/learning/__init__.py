"""Decides what is normal: learning, exclusions, adoption of levels, and decisions of engineers."""
