"""Detectors of spans: one file each, its formula and source in its docstring."""
