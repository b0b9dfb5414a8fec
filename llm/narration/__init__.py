"""Asks a language model for an answer, within limits."""
