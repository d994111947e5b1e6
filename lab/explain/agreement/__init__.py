"""The model against the kernel, on random networks."""
