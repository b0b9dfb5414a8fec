"""Verdicts of people on explanations."""
