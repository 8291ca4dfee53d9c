"""Shipped for plugin authors: contract suites that any implementation can run."""
