"""The places a plan can run: one launcher per place behind one interface."""
