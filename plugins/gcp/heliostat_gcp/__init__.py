"""Heliostat on GCP."""
