"""What a series costs: the same benches on both kernels, by an instrument that is named with every figure."""
