"""What every package may use: errors, files, folders, registries."""
