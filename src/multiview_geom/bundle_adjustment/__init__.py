"""Cameras and points that best explain the pixels."""
