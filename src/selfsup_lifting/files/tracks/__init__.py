"""The 2D tracks of one camera, in one form for all detectors."""
