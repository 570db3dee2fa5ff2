"""What a run's own files say: curves over steps, sample panels, held-out evaluations. Reads, never trains."""
