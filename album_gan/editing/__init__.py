"""Editing covers: directions in latent space, similar covers, title and artist."""
