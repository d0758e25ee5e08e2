"""Settings from a YAML file and dotted overrides; everything that is wrong is said at once, with its place and mend."""

from strop.config.load import load_config, load_overrides, load_values

__all__ = ["load_config", "load_overrides", "load_values"]
