"""The structure of traces: tree, self time, critical path, and what the API shows of a trace."""
