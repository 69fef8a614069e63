"""*Provable Scaling Laws of Feature Emergence*: the gradient of the features, and the samples they take."""

from regrun.papers.li2_feature_emergence.gradient import FeatureGradient
from regrun.papers.li2_feature_emergence.threshold import SampleThreshold

__all__ = ["FeatureGradient", "SampleThreshold"]
