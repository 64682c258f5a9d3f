"""Published datasets to recordings."""
