"""The steps of the life cycle, one script each: what an entry point of MLproject runs."""

import gc

# The garbage collector finds nothing in thousands of imports and takes a fifth of their time looking: a step starts
# seconds sooner without it. `dlops.ml.step` turns it on again when the work begins.
gc.disable()
