"""The command `heliostat`."""
