"""Triangulation of points from pixels in many views."""
