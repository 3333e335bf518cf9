"""AXI: signatures, flat pins, read master."""
