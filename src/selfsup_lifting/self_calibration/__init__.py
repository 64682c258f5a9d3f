"""Calibration from the people whom the cameras saw."""
