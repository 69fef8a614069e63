"""Tasks: LightningModules that turn a model, an optimizer and regularizers into steps."""
