"""Contracts for difference: leveraged positions against the house, at the reference price."""
