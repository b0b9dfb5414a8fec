"""Landed spans by steps of event time: batches, the join of parents and children, exemplars."""
