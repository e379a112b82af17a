"""The heavy half: datasets, models, training, evaluation, packaging."""

import os

# OpenMP's threads spin while they wait for one another, and wait longest where they share a core with somebody else's
# work: beside one busy process, matrix products took two to three times as long. Read once, as torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
