"""From config files to the config of a run."""
