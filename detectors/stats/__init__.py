"""Statistics that know nothing of spans: sketches, tails, rates, levels, arrivals, bins of time."""
