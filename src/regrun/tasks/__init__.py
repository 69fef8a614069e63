"""Tasks: LightningModules that train a model with an optimizer and regularizers."""
