"""A page that lifts 2D poses in the browser: the network, a viewer and nothing else."""
