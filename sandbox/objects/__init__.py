"""Object stores: where sealed bytes lie, and how a version is read back from them."""
