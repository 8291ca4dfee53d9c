"""Heliostat on AWS."""
