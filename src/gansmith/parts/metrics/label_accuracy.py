"""Label accuracy: do samples show the class of their label input?"""

from typing import ClassVar

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics


@metrics.register("label_accuracy")
class LabelAccuracy(Metric):
    """Share of samples that a classifier assigns to their label input; the same for real images as a fact.

    Source: Ravuri and Vinyals 2019, arXiv:1905.10887, section 3 (the reverse of classification accuracy score).
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"label_accuracy": "high"}

    def missing(self, evidence: Evidence) -> str:
        """Say whether labels or a classifier are missing."""
        if evidence.fake[0].labels is None:
            return "needs labels of the judged images" if evidence.given else "needs a conditional model"
        if evidence.fake[0].probabilities is None:
            return "needs an extractor that knows the classes of these images"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``label_accuracy``; as facts the accuracy of each class."""
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
            words = f"; for real images the classifier is right in {of_real:.1%}"
        number = jackknife(lambda kept: float(right[kept].mean()), len(fake))
        return Finding(
            {"label_accuracy": number}, facts, (f"{number.value:.1%} of samples show the class of their label{words}",)
        )
