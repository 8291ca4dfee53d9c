"""The coordination loop: slots, retries, acceptance, and the ledger that commits before it reports."""
