"""What is known: specifications, statuses, results and events. Frozen records without I/O."""
