"""Hand-written CPU kernels in bfloat16, where torch's own are slow; compiled once on the machine that runs them."""
