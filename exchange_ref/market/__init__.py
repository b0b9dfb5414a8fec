"""What the outside market says: reference prices, their source and how fresh they are."""
