"""What the shop does, for itself and for its test."""

ORDERS = 6
UNLUCKY = 5  # the order that fails
