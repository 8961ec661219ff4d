"""Data sandbox (数据沙箱): city data made usable but not visible."""

__version__ = "0.2.0"
