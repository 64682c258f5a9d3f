"""Linear triangulation."""
