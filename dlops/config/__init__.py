"""What a run is configured with: parameters, layers, YAML, settings."""
