"""The transform between point sets."""
