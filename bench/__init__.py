"""Measurements of a node on the machine at hand: against its limits, its peers and itself grown larger."""
