"""What the hardware must compute and how fast: golden models, workloads, the bulk driver."""
