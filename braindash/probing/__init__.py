"""Linear probes: what can be read from a layer, and how well."""
