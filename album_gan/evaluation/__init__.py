"""Measuring a model against held-out covers."""
