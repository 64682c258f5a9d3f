"""Calibration file formats: one module per family of tools."""
