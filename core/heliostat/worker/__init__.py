"""The worker runtime: what runs inside a worker, whichever adapter started it."""
