"""Tracks of 2D detectors: one module per format."""
