"""Augmentations: what happens to whole batches of stored images before they are trained on."""

from regrun.augmentations.geometry import HorizontalFlip, RandomCrop
from regrun.augmentations.occlusion import Cutout
from regrun.augmentations.rand_augment import RandAugment
from regrun.augmentations.resized_crop import RandomResizedCrop

__all__ = ["Cutout", "HorizontalFlip", "RandAugment", "RandomCrop", "RandomResizedCrop"]
