"""Evaluate a translation model: its results and those of a baseline, against targets."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import numpy as np

from gansmith.core.atomic_files import commit_json
from gansmith.core.errors import MetricError
from gansmith.core.events import OnProgress, silent
from gansmith.core.metric_name import TRAIN
from gansmith.core.randomness import epoch_order
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.sources.domains import DOMAINS
from gansmith.evaluation.baselines import (
    BaselineComparison,
    Candidate,
    against,
    as_facts,
    compare_with_baseline,
    full_names,
    in_colour,
)
from gansmith.evaluation.evaluate import FEWEST_SETS, EvaluationOptions, check_finite, notes, open_extractor, protocol
from gansmith.evaluation.features import data_info_of
from gansmith.evaluation.reference import TRAINING
from gansmith.evaluation.result import FILE, TRANSLATIONS, Evaluation
from gansmith.evaluation.translated_pairs import mean_colour, there_and_back, translate_pairs
from gansmith.imaging.captions import captioned_grid, stacked
from gansmith.imaging.images import save_png
from gansmith.imaging.values import picture_of
from gansmith.inference.model import Model
from gansmith.methods.base import Method
from gansmith.methods.capabilities import Translator, has_targets, reverses
from gansmith.parts.extractors.base import DataInfo, Extractor
from gansmith.parts.metrics.frechet import Frechet
from gansmith.parts.metrics.image_similarity import WINDOW_PX, l1, window_px

FEWEST, FEW = 10, 2_000  # images: fewer are refused, and fewer get a note
SHOWN, IN_A_ROW = 12, 2  # examples in the picture, and in one row of it
NOTHING = "nothing"
Columns = Mapping[str, np.ndarray]  # of the picture, by caption


def evaluates_translations(method: Method) -> TypeGuard[Translator]:
    """Say whether a method is evaluated by its translations: it has targets, or translates there and back."""
    return has_targets(method) or reverses(method)


def evaluate_translations(
    model: Model,
    reference: ImageData,
    reference_name: str,
    training: ImageData | None,
    options: EvaluationOptions,
    truth: ImageData | None = None,
    *,
    on_progress: OnProgress = silent,
) -> tuple[Evaluation, np.ndarray]:
    """Translate the reference set and measure the results; return metrics and a picture of examples, uint8 (H, W, 3).

    ``truth`` has the known translations of the first domain's images, in their order, for a model trained without
    pairs. Raises MetricError for too few images, a truth that does not fit, and options that are only for samples.
    """
    start, record = time.monotonic(), model.record
    method = model.method
    assert evaluates_translations(method)
    unpaired = not has_targets(method)
    _check_options(options, unpaired)
    check_finite(model, method.translators, options.raw)
    sets = _chosen(reference, options.num, unpaired)
    known = None if truth is None else truth.read(_truth_rows(truth, reference, training, sets[0]))
    seen = training or reference
    extractor = open_extractor(options, seen.spec, _domain(seen), on_progress)
    if unpaired:
        images = [reference.read(each) for each in sets]
        found_pairs = _evaluate_domains(model, extractor, options.raw, images, known, on_progress)
        comparisons, picture = found_pairs[0], _picture(reference.spec, found_pairs[1])
    else:
        comparisons, picture = _evaluate_pairs(model, extractor, options, reference, sets[0], training, on_progress)
    numbers = full_names(comparisons, TRAIN if reference_name == TRAINING else "")
    count = len(sets[0])
    stamp = protocol(model, options, extractor, reference, reference_name)
    stamp = stamp.model_copy(
        update={"num_real": sum(map(len, sets)), "num_fake": count, "num_sets": 1, "sources": record.method.sources()}
    )
    words = [*notes(record, reference.spec, training), *(line for each in comparisons for line in each.words())]
    words += _remarks(count, window_px(record.data.height, record.data.width), unpaired)
    skipped = {"frechet": f"needs {Frechet.least} images, got {count}"} if count < Frechet.least else {}
    seconds = round(time.monotonic() - start, 1)
    found = Evaluation(record.name, record.kimg, stamp, numbers, tuple(words), skipped, seconds, as_facts(comparisons))
    return found, picture


def write_translations(found: Evaluation, picture: np.ndarray, folder: Path) -> Path:
    """Write evaluation.json and the picture of examples; return the path of the JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    commit_json(folder / FILE, found.to_json())
    save_png(picture, folder / TRANSLATIONS)
    return folder / FILE


def _evaluate_pairs(
    model: Model,
    extractor: Extractor,
    options: EvaluationOptions,
    reference: ImageData,
    places: np.ndarray,
    training: ImageData | None,
    on_progress: OnProgress,
) -> tuple[list[BaselineComparison], np.ndarray]:
    """Compare a model whose images have targets with its baseline; return a picture too."""
    mean = None if training is None or training.spec.pairs else mean_colour(training)
    made = translate_pairs(model, reference, places, mean, seed=options.seed, raw=options.raw, on_progress=on_progress)
    features = extractor(made.targets)[0]
    results, baseline = (
        against(images, made.targets, (extractor(images)[0], features), extractor.name)
        for images in (made.results, made.baseline)
    )
    targets = Candidate(made.targets, features, in_colour(made.targets))
    columns = {"source": made.sources, made.baseline_name: made.baseline}
    if np.array_equal(made.sources, made.baseline):
        del columns["source"]
    picture = _picture(reference.spec, [{**columns, "result": made.results, "target": made.targets}])
    return [compare_with_baseline("", made.baseline_name, results, baseline, targets, extractor.name)], picture


def _evaluate_domains(
    model: Model,
    extractor: Extractor,
    raw: bool,
    images: Sequence[np.ndarray],
    known: np.ndarray | None,
    on_progress: OnProgress,
) -> tuple[list[BaselineComparison], list[Columns]]:
    """Compare both directions between two sets of images with doing nothing; return images for a picture too.

    ``known`` has the known translations of the first set, None if there are none.
    """
    assert reverses(model.method)
    features = [extractor(each)[0] for each in images]
    comparisons, shown = [], list[Columns]()
    for side, title in enumerate(model.method.translators):
        here, there = images[side], Candidate(images[1 - side], features[1 - side], in_colour(images[1 - side]))
        made, back = there_and_back(model, here, reverse=side == 1, raw=raw, on_progress=on_progress)
        columns = {"source": here, "result": made, "and back": back}
        results = Candidate(made, extractor(made)[0], in_colour(made))
        baseline = Candidate(here, features[side], in_colour(here))
        if known is not None and side == 0:
            answers = extractor(known)[0]
            results, baseline = (
                against(each.images, known, (each.features, answers), extractor.name) for each in (results, baseline)
            )
            columns["the truth"] = known
        results.measures.update(cycle_error=l1(back, here), change=l1(made, here))
        comparisons.append(compare_with_baseline(title, NOTHING, results, baseline, there, extractor.name))
        shown.append(columns)
    return comparisons, shown


def _check_options(options: EvaluationOptions, unpaired: bool) -> None:
    options.check()
    asked = {"--metrics": options.metrics, "--truncation": options.truncation, "--sets": options.sets != FEWEST_SETS}
    for option, value in asked.items():
        if value:
            raise MetricError(
                "metric.option_for_samples_only",
                f"{option} is only for models that make images from latents, and this model translates images"
                f"\n  leave out {option}",
            )
    if options.truth and not unpaired:
        raise MetricError(
            "metric.truth_for_unpaired_only",
            f"--truth {options.truth}: the images of this model have targets already"
            "\n  leave out --truth: it is for models trained with --from and --to",
        )


def _chosen(reference: ImageData, most: int, unpaired: bool) -> list[np.ndarray]:
    """Return the indices of the images to translate, shuffled: one set, or one of each domain, of equal sizes."""
    order = epoch_order(0, 0, len(reference))
    sets = [order]
    if unpaired:
        if reference.spec.classes != DOMAINS or reference.labels is None:
            raise MetricError(
                "metric.one_domain",
                f"'{reference.spec.name}' is one set of images, and this model translates between two sets"
                "\n  pass both as DATA: 'domains:A -> B'",
            )
        sets = [order[reference.labels[order] == side] for side in range(len(DOMAINS))]
    count = min(most, *map(len, sets)) if unpaired else min(most, len(order))
    if count < FEWEST:
        raise MetricError(
            "metric.too_few_images",
            f"{count} images are too few to evaluate translations; at least {FEWEST} are needed"
            "\n  pass more as DATA, hold out a larger share, or raise --num",
        )
    return [each[:count] for each in sets]


def _truth_rows(truth: ImageData, reference: ImageData, training: ImageData | None, places: np.ndarray) -> np.ndarray:
    """Return the indices in ``truth`` for the images at ``places``; MetricError if the numbers of images differ."""
    parts = [reference] if training is None or training.held_out is not reference else [reference, training]
    if training is reference and training.held_out is not None:
        parts.append(training.held_out)
    count = sum(int((part.labels == 0).sum()) for part in parts if part.labels is not None)
    if len(truth) != count:
        raise MetricError(
            "metric.truth_count",
            f"--truth '{truth.spec.name}' has {len(truth):,} images, and there are {count:,} of domain '{DOMAINS[0]}'"
            "\n  pass one translation for each of them, held-out images included, in the same order of names",
        )
    return reference.rows[places]


def _domain(data: ImageData) -> DataInfo:
    """Return the facts for an extractor: only the targets of pairs, and no labels of two domains.

    Two domains may differ in one colour. An extractor trained to tell them apart would see little else.
    """
    domain = data_info_of(data)
    if data.spec.classes == DOMAINS:
        return replace(domain, classes=())
    if not data.spec.pairs:
        return domain
    width = data.spec.width // 2
    return replace(
        domain,
        width=width,
        fingerprint=f"{domain.fingerprint}-targets",
        read=lambda: (data.read(np.arange(len(data)))[:, :, width:], data.labels),
    )


def _remarks(count: int, window: int, unpaired: bool) -> list[str]:
    out = []
    if Frechet.least <= count < FEW:
        out.append(
            f"only {count:,} images: with more images, fd would be lower for model and baseline alike, and the "
            "deviations of the other metrics smaller"
        )
    if window < WINDOW_PX:
        out.append(f"ssim uses windows of {window} px instead of {WINDOW_PX}: the images are small")
    if unpaired:
        out.append("read cycle_error beside change: a model that changes nothing has 0 for both")
    return out


def _picture(spec: DataSpec, tables: Sequence[Columns]) -> np.ndarray:
    """Return a picture of the first images of each table, two examples a row."""
    grids = []
    for columns in tables:
        places = range(min(SHOWN // len(tables), *map(len, columns.values())))
        images = np.stack([images[place] for place in places for images in columns.values()])
        grids.append(captioned_grid(picture_of(images, spec.values), [*columns] * len(places), IN_A_ROW * len(columns)))
    return stacked(grids)
