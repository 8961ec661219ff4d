"""The demo: the main job on real data, each step by the real command line over the real gateway."""
