"""Pixels in many views to world points."""
