"""Lens models: ideal points of the image plane to distorted points, and back."""
