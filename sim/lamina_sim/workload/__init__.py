"""What the engines are fed with: checkpoints, weight quantization and a transformer."""
