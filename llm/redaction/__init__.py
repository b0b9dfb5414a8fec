"""Redacts all that leaves the process."""
