"""What of a text a model's answer rests on, token by token.

This package travels inside explainers, under another name: its modules import each other relatively, nothing of dlops,
and of others numpy, torch, shap and captum.
"""
