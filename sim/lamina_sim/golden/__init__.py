"""Bit-exact NumPy models: the specification that the hardware equals."""
