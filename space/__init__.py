"""The page: a wall of covers to look through, morph and enlarge. `app.launch` starts it."""
