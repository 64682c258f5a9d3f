"""Show recordings and 3D tracks: an interactive page, pictures and videos."""
