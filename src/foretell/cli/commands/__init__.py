"""The commands: one file per command, with its name."""
