"""Lamina's synthesizable hardware, in Amaranth: store -> fetch -> compute -> output."""
