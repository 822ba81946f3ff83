"""What `vafa doctor` looks at, one subject a module. A check gives findings and changes no books."""
