"""Anda: grouped activations as bit-planes, multiplied bit-serially with integer weights."""
