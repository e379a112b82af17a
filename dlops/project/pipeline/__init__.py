"""Several steps in order: what is to run, what need not run again, and the process that runs them."""
