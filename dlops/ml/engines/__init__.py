"""Engines that answer texts fast: a model in the form that this machine computes quickest, in processes of its own."""
