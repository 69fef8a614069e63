"""What every part of a training may know of the others."""
