"""Explaining what happens inside the networks, for the page, notebooks and scripts."""
