"""Labelled incident folders: the exchange under load, its faults, and the truth beside the spans."""
