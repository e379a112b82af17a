"""The commands: what the user types, parsed, launched once and printed once."""
