"""The one import for authors of parts; docs/add_a_part.md explains it."""

from gansmith.core.errors import DataError, GansmithError, MetricError, RecipeError
from gansmith.core.noise import Noise
from gansmith.core.randomness import sample_latents
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment, NotNegative, Ramp, Share, value_at
from gansmith.data.base import DataSpec, ImageData, Item, Listing, Payload, Source
from gansmith.data.batches import Batch
from gansmith.data.datasets.base import DataSetPart, FileSet, data_sets
from gansmith.data.sources.arrays import Arrays, ArraySource, array_file
from gansmith.data.sources.folders_archives import FolderSource
from gansmith.imaging.images import ImageError
from gansmith.imaging.tensors import to_float
from gansmith.methods.base import Fixed, Method, MethodConfig, MethodField, Phase, Terms, methods
from gansmith.methods.capabilities import LatentSampler, SupervisedTranslator, Translator
from gansmith.parts.augmentations.base import Augmentation, AugmentationField, Draws, augmentations
from gansmith.parts.constraints.base import Constraint, ConstraintField, constraints
from gansmith.parts.degradations.base import Degradation, DegradationField, degradations, reduced
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.losses.base import AdversarialLoss, LossField, losses
from gansmith.parts.metrics.base import (
    Evidence,
    Finding,
    Metric,
    Number,
    Side,
    jackknife,
    jackknifed,
    leave_out,
    metrics,
    over_sets,
    radii,
    squared_distances,
)
from gansmith.parts.networks.base import (
    ImageSpec,
    Network,
    NetworkField,
    finish,
    networks,
    normed,
    one_hot,
    projected,
    range_from_signed,
    require_sources,
    signed_from,
    start_map,
    with_label_planes,
)
from gansmith.parts.optimizers.base import OptimizerField, OptimizerPart, optimizers
from gansmith.parts.penalties.base import Critic, Penalty, PenaltyField, Scored, input_gradient, penalties
from gansmith.parts.tasks.base import Task, TaskField, luminance, tasks
from gansmith.reporting.loggers.base import Logger, LoggerPart, Step, TrackedRun, loggers

__all__ = [  # noqa: RUF022  (by family, as in docs/add_a_part.md)
    # losses
    "AdversarialLoss",
    "LossField",
    "losses",
    # penalties
    "Critic",
    "Penalty",
    "PenaltyField",
    "Scored",
    "input_gradient",
    "penalties",
    # constraints
    "Constraint",
    "ConstraintField",
    "constraints",
    # optimizers
    "OptimizerField",
    "OptimizerPart",
    "optimizers",
    # networks
    "ImageSpec",
    "Network",
    "NetworkField",
    "finish",
    "networks",
    "normed",
    "one_hot",
    "projected",
    "range_from_signed",
    "require_sources",
    "signed_from",
    "start_map",
    "with_label_planes",
    # augmentations
    "Augmentation",
    "AugmentationField",
    "Draws",
    "augmentations",
    # tasks
    "Task",
    "TaskField",
    "luminance",
    "tasks",
    # degradations
    "Degradation",
    "DegradationField",
    "degradations",
    "reduced",
    # metrics
    "Evidence",
    "Finding",
    "Metric",
    "Number",
    "Side",
    "jackknife",
    "jackknifed",
    "leave_out",
    "metrics",
    "over_sets",
    "radii",
    "squared_distances",
    # extractors
    "DataInfo",
    "Extractor",
    "ExtractorPart",
    "extractors",
    # data sets
    "ArraySource",
    "Arrays",
    "DataSetPart",
    "DataSpec",
    "FileSet",
    "FolderSource",
    "ImageData",
    "ImageError",
    "Item",
    "Listing",
    "Payload",
    "Source",
    "array_file",
    "data_sets",
    # methods
    "Batch",
    "Fixed",
    "Method",
    "MethodConfig",
    "MethodField",
    "LatentSampler",
    "SupervisedTranslator",
    "Translator",
    "Phase",
    "Terms",
    "methods",
    "to_float",
    # loggers
    "Logger",
    "LoggerPart",
    "Step",
    "TrackedRun",
    "loggers",
    # numbers that change over a run, and random numbers
    "Moment",
    "Noise",
    "NotNegative",
    "Ramp",
    "Share",
    "sample_latents",
    "value_at",
    # a family of your own
    "Part",
    "PartOf",
    "Registry",
    # errors
    "DataError",
    "GansmithError",
    "MetricError",
    "RecipeError",
]
