"""The trace view: one p-value for each settled trace."""
