"""The subcommands of `lamina`, one file each; what they do lives beside this package."""
