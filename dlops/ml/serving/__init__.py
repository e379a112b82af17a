"""Answers over HTTP: MLflow's protocol and plain JSON, by the fastest engine, from versions that come and go."""
