"""A storm: sixteen clients ask, vote and load while processes are killed at named points, a thousand times if wanted."""
