"""The nearest rotation."""
