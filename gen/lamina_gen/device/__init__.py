"""A host and a memory around `store.device`, stepped cycle by cycle: for tests and benches.

The golden device stands beside: what the hardware answers is compared, message by message.
"""
