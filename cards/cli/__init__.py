"""The `vafa keys` and `vafa cards` commands. They join `vafa` by entry points in pyproject.toml."""
