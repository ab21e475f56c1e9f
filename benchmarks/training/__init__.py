"""What `benchmarks.train` and `benchmarks.gpu.train` share: models and rows, the trainers as subjects, turns."""
