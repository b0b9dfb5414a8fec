"""Redacts everything that leaves the process."""
