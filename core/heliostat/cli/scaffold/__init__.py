"""A new plugin: its names, and the distribution that `heliostat plugin new` writes from the files in `template`."""
