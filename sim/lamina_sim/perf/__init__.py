"""How fast and how costly hardware is, by stated loops; the RTL's counters must say the same."""
