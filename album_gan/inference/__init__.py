"""Drawing covers with a trained model: the files that are published with the weights."""
