"""Recordings to a trained lifter."""
