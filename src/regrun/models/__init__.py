"""Models: plain modules that size themselves from a dataset's inputs and classes."""

from regrun.contracts.output import Output
from regrun.models.committee import Committee
from regrun.models.fast_resnet import FastResNet
from regrun.models.latent_ode import ODERNN, LatentODE
from regrun.models.mlp import MLP
from regrun.models.neural_ngram import NeuralNGram
from regrun.models.neural_ode import NeuralODE, TrajectoryODE
from regrun.models.neural_sde import NeuralSDE, TrajectorySDE
from regrun.models.one_hot import OneHotLinear
from regrun.models.prototype_attention import PrototypeAttention
from regrun.models.quadratic import Quadratic
from regrun.models.resnet import PreActResNet, ResNet, WideResNet
from regrun.models.rethinking import SmallAlexNet, SmallInception
from regrun.models.small_cnn import SmallCNN
from regrun.models.small_transformer import SmallTransformer
from regrun.models.transformer import Transformer
from regrun.models.vgg import VGG

__all__ = [
    "MLP",
    "ODERNN",
    "VGG",
    "Committee",
    "FastResNet",
    "LatentODE",
    "NeuralNGram",
    "NeuralODE",
    "NeuralSDE",
    "OneHotLinear",
    "Output",
    "PreActResNet",
    "PrototypeAttention",
    "Quadratic",
    "ResNet",
    "SmallAlexNet",
    "SmallCNN",
    "SmallInception",
    "SmallTransformer",
    "TrajectoryODE",
    "TrajectorySDE",
    "Transformer",
    "WideResNet",
]
