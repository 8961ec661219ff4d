"""Planning: from names to a plan with its bound, its price and its rung, from declared facts alone."""
