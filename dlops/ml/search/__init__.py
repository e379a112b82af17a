"""The search for better parameters of a training: trials, what is tried next, what is ended early, where they run."""
