"""The normal state: mergeable sketches, the cells that hold them, and the tails fitted to them."""
