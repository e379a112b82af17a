"""The model registry: versions, who holds which alias, and how that changes, one change at a time."""
