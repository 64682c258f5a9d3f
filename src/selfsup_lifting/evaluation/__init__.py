"""A trained lifter and labelled recordings to numbers."""
