"""The structure of traces: tree, exclusive time, critical path, and what the API shows of a trace."""
