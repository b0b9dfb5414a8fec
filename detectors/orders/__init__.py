"""Detectors of amounts, orders and the market."""
