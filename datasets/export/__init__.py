"""Exports: `write_export(client, "trl-sft", folder)` makes a folder of training data from a server."""

from datasets.export.run import Written, write_export

__all__ = ["Written", "write_export"]
