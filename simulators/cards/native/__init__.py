"""What NXP's two cards have in common: the native command frames, EV2 authentication and messaging,
standard files."""
