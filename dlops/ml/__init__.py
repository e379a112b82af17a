"""The heavy half: datasets, models, training, evaluation, packaging."""
