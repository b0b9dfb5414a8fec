"""One detector a file. Each is a pure function of a batch of spans and the baselines."""
