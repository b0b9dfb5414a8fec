"""What landed, step by step of event time: batches, the join of parents and children, exemplars."""
