"""Are samples of a class what was asked for?"""

from typing import ClassVar

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics


@metrics.register("label_accuracy")
class LabelAccuracy(Metric):
    """Share of fakes that a classifier takes for the class that was asked for; the real images' own share beside it.

    Source: Ravuri and Vinyals 2019, arXiv:1905.10887, section 3 (the reverse of classification accuracy score).
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"label_accuracy": "high"}

    def missing(self, evidence: Evidence) -> str:
        """Ask for a conditional model and a classifier."""
        if evidence.fake[0].labels is None:
            return "needs a conditional model"
        if evidence.fake[0].probabilities is None:
            return "needs an extractor that knows the classes of these images"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``label_accuracy``, by class as facts."""
        fake, real = evidence.fake[0], evidence.real
        assert fake.labels is not None
        assert fake.probabilities is not None
        right = (fake.probabilities.argmax(1) == fake.labels).double()
        by_class = [float(right[fake.labels == index].mean()) for index in range(len(evidence.classes))]
        facts = {"classes": list(evidence.classes), "by_class": [round(value, 4) for value in by_class]}
        words = ""
        if real.labels is not None and real.probabilities is not None:
            of_real = float((real.probabilities.argmax(1) == real.labels).double().mean())
            facts["real"] = round(of_real, 4)
            words = f"; of real images it recognises {of_real:.1%}"
        number = jackknife(lambda kept: float(right[kept].mean()), len(fake))
        return Finding({"label_accuracy": number}, facts, (f"{number.value:.1%} of samples are what was asked{words}",))
