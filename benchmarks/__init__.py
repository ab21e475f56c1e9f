"""Measurements, as ratios of two things run in turn; `make bench` runs every file here but the harness."""
