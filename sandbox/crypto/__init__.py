"""The crypto suite: the one door to hashes, macs, ciphers and signatures."""
