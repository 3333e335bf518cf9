"""Arithmetic: compressor and adder trees, leading-zero count, rounding, FP32 units."""
