"""How hardware becomes files and figures: command line, registry, emission, reports."""
