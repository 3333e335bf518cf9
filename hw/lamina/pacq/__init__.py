"""PacQ: FP16 activations times packed INT4 and INT2 weights."""
