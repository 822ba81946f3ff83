"""Many simulated worlds, by seed, on all cores: what went wrong, how long, and what was not as it must be."""
