"""The `album-gan` command."""
