"""Recordings from 2D tracks and calibrations: single files, folders and projects."""
