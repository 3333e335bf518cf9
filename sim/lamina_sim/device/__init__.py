"""The store's device from the host's side: its registers, as constants for Python and C."""
