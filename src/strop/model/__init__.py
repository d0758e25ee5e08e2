"""Models: by name, on packed rows, through one entrance."""
