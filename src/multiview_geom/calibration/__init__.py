"""Poses of cameras from what they saw."""
