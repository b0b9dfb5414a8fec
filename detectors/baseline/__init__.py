"""What is normal: mergeable sketches, the cells they are kept in, and the tails fitted to them."""
