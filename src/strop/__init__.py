"""Post-training for language models that people can trust."""

import os

__version__ = "0.1.0"

# libgomp's threads spin for long when they wait for each other, and burn the time that a thread put aside by the system
# would need: beside other programs, products took 1.9 to 2.4 times as long as with a short spin. It reads this variable
# when torch is loaded, so it must be set before.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
