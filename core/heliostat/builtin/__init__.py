"""The default implementations, each registered through the public hooks."""
