"""A deploy platform over HTTP: pools, restarts, releases, configuration, flags, scale, load shedding, certificates."""
