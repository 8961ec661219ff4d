"""The routes, one module per noun: the door authenticates, the policy permits, the noun's function answers."""
