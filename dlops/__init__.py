"""Run the deep learning life cycle as MLflow project entry points, anywhere, truthfully."""

__version__ = "0.1.0"
