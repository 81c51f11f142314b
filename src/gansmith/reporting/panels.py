"""The plots that the curves of a run consist of, and which columns of its rows and looks each shows."""

from dataclasses import dataclass

from gansmith.core.metric_name import MetricName


@dataclass(frozen=True)
class Panel:
    """One of the stacked plots: the log columns with its prefix."""

    prefix: str
    title: str
    guide: float | None = None  # a dotted line at this height
    is_share: bool = False  # values in [0, 1]
    is_log: bool = False
    of_looks: tuple[str, ...] = ()  # what it shows of looks, whatever protocol is in the columns' names

    def shows(self, name: str) -> bool:
        """Say whether a column belongs here."""
        return self.role(name) in self.of_looks if MetricName.parse(name) else name.startswith(self.prefix)

    def role(self, name: str) -> str:
        """Return what a column is of, without the prefix."""
        metric = MetricName.parse(name)
        return metric.label if metric else name.removeprefix(self.prefix)


PANELS = (
    Panel("loss_", "losses"),
    Panel("d_", "D(x) and D(G(z)), probabilities", guide=0.5, is_share=True),
    Panel("score_", "scores of D (no probabilities)", guide=0.0),
    Panel("accuracy_", "share of images D judges right", guide=0.5, is_share=True),
    Panel("augment_", "p of the augmentation: each operation is done to this share of images", is_share=True),
    Panel("cycle_", "cycle: distance of images there and back to themselves"),
    Panel("identity_", "identity: what is changed in images that need no change"),
    Panel("grad_norm_", "gradient norms, log scale", is_log=True),
    Panel("penalty_", "penalties, as added to the loss"),
    Panel("update_", "weights' change in a step", is_log=True),
    Panel("look_fd", "Fréchet distance of samples, lower is better, log scale", is_log=True, of_looks=("fd", "fid")),
    Panel("look_", "samples beside real images", guide=1.0, of_looks=("coverage", "diversity", "missing", "copies")),
)
