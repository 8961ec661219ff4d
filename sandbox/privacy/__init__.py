"""From a plan's bounds to sensitivity, loss, noise, intervals, and the arithmetic of the ledger; pure."""
