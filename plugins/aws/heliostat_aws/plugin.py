"""What this distribution adds to Heliostat: nothing yet, so it implements no hook."""
