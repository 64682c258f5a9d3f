"""Rigs as the cameras of other libraries."""
