"""One tab per file: `lay_out` makes the components, `wire` connects them to `Handlers`, `add_api` adds its endpoint."""
