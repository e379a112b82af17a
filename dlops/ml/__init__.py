"""The heavy half: datasets, models, training, evaluation, packaging."""

import os

# OpenMP's threads spin while they wait for one another, by default so long that beside one busy process a training step
# takes three times as long; threads that sleep at once cost a sixth of the speed on a quiet machine. A thousand turns
# (some microseconds) cost neither. Read once, as torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
