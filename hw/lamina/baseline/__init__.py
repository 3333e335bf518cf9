"""What the papers compare with: FP-FP, FP-INT, iFPU and FIGNA elements, on the same ports."""
