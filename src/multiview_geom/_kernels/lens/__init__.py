"""OpenCV's polynomial lens, and its inverse."""
