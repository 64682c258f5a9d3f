"""The inner loops: the algebra of one point or rotation, and the engines that run it over many."""
