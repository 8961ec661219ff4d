"""The policy: who may do what, decided by Casbin in memory from reviewed rules, with a reason for every no."""
