"""Detectors of metric points."""
