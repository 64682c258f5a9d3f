"""How many random examples a test draws."""

from hypothesis import settings


def at_most(examples: int) -> settings:
    """Draw fewer examples than usual, because each takes long."""
    return settings(max_examples=min(examples, settings.default.max_examples))
