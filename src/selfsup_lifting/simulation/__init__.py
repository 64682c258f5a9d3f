"""Recordings without a camera: simulated rigs, bodies and detectors."""
