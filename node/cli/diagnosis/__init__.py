"""What `vafa doctor` looks at, one subject a module. Every check gives findings; none raises or changes books."""
