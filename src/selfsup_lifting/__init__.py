"""Train, evaluate, predict: the same verbs as the shell."""
