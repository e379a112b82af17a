"""The steps of the life cycle, one script each: what an entry point of MLproject runs."""
