"""regrun: re-runs the claims of papers on regularization and training dynamics.

Importing the package costs nothing: torch is imported by the components, Hydra by the command.
"""

__version__ = "0.1.0"
