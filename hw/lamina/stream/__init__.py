"""Stream plumbing: register slice, queue, block memory."""
