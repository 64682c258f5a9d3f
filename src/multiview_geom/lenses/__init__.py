"""Lens models: points on the image plane to distorted points, and back."""
