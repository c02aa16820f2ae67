"""What happens inside the networks, computed from the networks themselves: for the page, notebooks and scripts."""
