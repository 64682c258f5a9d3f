"""Folders of tracks and calibrations to recordings."""
