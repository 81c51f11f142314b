"""The panels of the curves of a run, and the columns of log and snapshots in each."""

from dataclasses import dataclass

from gansmith.core.metric_name import MetricName


@dataclass(frozen=True)
class Panel:
    """One of the stacked plots: the log columns with its prefix, and some metrics of snapshots."""

    prefix: str
    title: str
    guide: float | None = None  # a dotted line at this height
    is_share: bool = False  # values in [0, 1]
    is_log: bool = False
    metrics: tuple[str, ...] = ()  # of snapshots, for any number of samples and extractor

    def shows(self, name: str) -> bool:
        """Say whether a column belongs here."""
        return self.role(name) in self.metrics if self.metrics else name.startswith(self.prefix)

    def role(self, name: str) -> str:
        """Return a column's name without prefix and protocol: ``generator``, ``fd``."""
        metric = MetricName.parse(name) if self.metrics else None
        return metric.label if metric else name.removeprefix(self.prefix)


PANELS = (
    Panel("loss_", "losses"),
    Panel("d_", "D(x) and D(G(z)), probabilities", guide=0.5, is_share=True),
    Panel("score_", "scores of D (not probabilities)", guide=0.0),
    Panel("accuracy_", "share that D classifies correctly", guide=0.5, is_share=True),
    Panel("augment_", "augmentation p: share of images that each operation changes", is_share=True),
    Panel("cycle_", "cycle loss: distance between images and their round trip"),
    Panel("identity_", "identity loss: change of images that need no translation"),
    Panel("grad_norm_", "gradient norms, log scale", is_log=True),
    Panel("penalty_", "penalties, as added to the loss"),
    Panel("update_", "relative weight change", is_log=True),
    Panel("fd", "Fréchet distance of samples, lower is better, log scale", is_log=True, metrics=("fd", "fid")),
    Panel(
        "snapshot_",
        "samples against real images",
        guide=1.0,
        metrics=("coverage", "diversity", "missing", "copies", "texture"),
    ),
)
