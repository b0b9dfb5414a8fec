"""The trace view: one p for each settled trace."""
