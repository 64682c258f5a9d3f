"""Simulated recordings: motion capture or a stick figure, seen by a simulated rig."""
