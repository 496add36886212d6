"""zlotick: real-time quotes of the Warsaw exchange's small caps."""

__version__ = "0.1.0"
