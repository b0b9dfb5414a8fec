"""Errors of exports; they extend the tree in `collector/errors.py`.

SpyhopError
├── NothingToExport     no labelled row fits; nothing was written
└── OutputUnusable      the output folder cannot take the files
"""

from __future__ import annotations

from collector.errors import SpyhopError


class NothingToExport(SpyhopError):
    code = "nothing_to_export"


class OutputUnusable(SpyhopError):
    code = "output_unusable"
