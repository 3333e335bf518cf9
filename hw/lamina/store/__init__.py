"""SmartQuant: the bit-plane weight store."""
