"""Whole nodes on a simulated clock, network and disk, by seed: the real code, and no time passes."""
