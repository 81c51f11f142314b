"""Every verdict on made-up rows and snapshots: what leads to it, and the nearest thing that does not."""

import pytest

from gansmith.core.metric_name import column_of
from gansmith.evaluation.health import HEALTHY, HOPELESS, RULES, TITLES, diagnose, diagnose_once
from gansmith.evaluation.thresholds import Thresholds, gone
from gansmith.runs.log import best_snapshot, measure

LIMITS = Thresholds()
CLASSES = ("shirt", "shoe", "bag", "coat", "dress")
FALLING = (8.0, 6.0, 5.0, 4.0, 3.0, 2.5)  # of 20 that one average image would get: healthy


def snapshot(at: int, fd: float, *, diversity: float = 0.95, copies: float = 0.0, missing: int = 0, of=CLASSES) -> dict:
    """Return a snapshot: the first ``missing`` modes are missing."""
    made = 1 / (len(of) - missing)
    modes = {name: [1 / len(of), 0.0 if index < missing else made] for index, name in enumerate(of)}
    numbers = {
        "fd2k_x_train": fd,
        "coverage2k_x_train": 0.5,
        "diversity2k_x_train": diversity,
        "copies2k_x_train": copies,
    }
    return {"iteration": 10 * at, "kimg": float(at), **numbers, "fd_of_one": 20.0, "modes": modes}


def snapshots_of(fds=FALLING, **series) -> list[dict]:
    """Return snapshots at 1, 2, ... kimg; a series has a value for each snapshot, or one for all."""
    out = []
    for index, fd in enumerate(fds):
        values = {name: each[index] if isinstance(each, list) else each for name, each in series.items()}
        out.append(snapshot(index + 1, fd, **values))
    return out


def rows_of(real: float = 0.8, fake: float = 0.8, d: float = 1e-3, g: float = 1e-3, kimg: int = 20) -> list[dict]:
    numbers = {"accuracy_real": real, "accuracy_fake": fake, "update_discriminator": d, "update_generator": g}
    return [{"iteration": 10 * at + 5, "kimg": at + 0.5, **numbers} for at in range(kimg)]


def verdict_of(snapshots, rows=None) -> str:
    return diagnose(rows_of() if rows is None else rows, snapshots).name


def test_a_run_that_learns_is_healthy(prose):
    verdict = diagnose(rows_of(), snapshots_of())
    assert (verdict.name, verdict.began_kimg, verdict.title) == (HEALTHY, None, "healthy")
    prose("verdict", verdict.message)
    later = diagnose(rows_of(), snapshots_of((8, 6, 5, 5.2)))
    prose("verdict", later.message)
    prose("verdict", diagnose([], snapshots_of((8.0,))).message)


def test_a_healthy_run_names_the_modes_that_are_still_missing(prose):
    early = diagnose(rows_of(), snapshots_of((19, 15), missing=2))
    prose("verdict", early.message)
    assert early.name == HEALTHY


def test_every_prefix_of_a_run_that_learns_is_healthy():
    """G outputs nearly one image at first and makes more and more modes: a mode not yet learnt is not mode collapse."""
    snapshots = snapshots_of(
        (19, 15, 11, 8, 6, 5), diversity=[0.1, 0.2, 0.4, 0.6, 0.8, 0.9], missing=[4, 3, 2, 1, 0, 0]
    )
    assert [verdict_of(snapshots[:count], rows_of(real=1.0, fake=1.0)) for count in range(1, 7)] == [HEALTHY] * 6


def test_lost_variety_is_full_collapse_from_the_snapshot_of_the_loss(prose):
    snapshots = snapshots_of((8, 6, 5, 9, 12, 14), diversity=[0.9, 0.9, 0.9, 0.3, 0.2, 0.2])
    assert verdict_of(snapshots[:4]) == HEALTHY  # one snapshot may be an accident
    verdict = diagnose(rows_of(), snapshots[:5])
    assert (verdict.name, verdict.began_kimg) == ("full_collapse", 4.0)
    prose("verdict", verdict.message)
    above = snapshots_of((8, 6, 5, 4.5, 4, 4), diversity=[0.9, 0.9, 0.9, 0.6, 0.6, 0.6])
    assert verdict_of(above) == HEALTHY


def test_variety_that_stays_low_is_full_collapse_if_fd_does_not_improve():
    stuck = snapshots_of((19, 19, 19, 19, 19), diversity=0.1)
    assert verdict_of(stuck) == "full_collapse"
    assert verdict_of(stuck[:3]) == HEALTHY
    assert verdict_of(snapshots_of((19, 17, 15, 13, 11), diversity=[0.1, 0.12, 0.15, 0.2, 0.25])) == HEALTHY


def test_most_modes_missing_is_full_collapse_and_some_are_partial(prose):
    assert verdict_of(snapshots_of(missing=[0, 0, 0, 4, 4, 4])) == "full_collapse"
    verdict = diagnose(rows_of(), snapshots_of(missing=[0, 0, 0, 1, 1, 1]))
    assert (verdict.name, verdict.began_kimg) == ("partial_collapse", 6.0)
    prose("verdict", verdict.message)
    assert verdict_of(snapshots_of(missing=[0, 0, 0, 0, 1, 1])) == HEALTHY
    assert verdict_of(snapshots_of(missing=1)[:2]) == HEALTHY
    assert verdict_of(snapshots_of(missing=[0, 1, 1, 0, 1, 1])) == HEALTHY  # a mode that comes and goes
    assert verdict_of(snapshots_of(missing=[3, 3, 2, 2, 1, 0])) == HEALTHY
    young = (19, 17, 15, 13, 11, 9)
    assert verdict_of(snapshots_of(young, missing=1)) == HEALTHY  # poor still, and better from snapshot to snapshot
    assert verdict_of(snapshots_of((*young[:3], 3, 2.8, 2.6), missing=1)) == "partial_collapse"
    many = tuple(f"group {number}" for number in range(1, 12))
    coming = snapshots_of((5, 4, 3, 2.5, 2, 1.9), missing=[6, 5, 4, 3, 2, 2], of=many)
    assert [verdict_of(coming[:count]) for count in range(3, 6)] == [HEALTHY] * 3  # good, and more modes every time
    assert verdict_of(coming) == "partial_collapse"  # no more modes come
    assert verdict_of(snapshots_of(missing=1, of=many)) == HEALTHY  # less than a tenth
    verdict = diagnose(rows_of(), snapshots_of(missing=5, of=many))
    prose("verdict", verdict.message)


def test_a_class_without_training_images_is_named_as_such(prose):
    snapshots = snapshots_of(missing=1)
    for each in snapshots:
        each["modes"]["shirt"][0] = 0.0
    prose("verdict", diagnose(rows_of(), snapshots).message)
    for each in snapshots:
        each["modes"]["shirt"] = [0.009, 0.009]  # mistakes of the classifier: an even share is 0.2
    prose("verdict", diagnose(rows_of(), snapshots).message)
    for each in snapshots:
        each["modes"]["shirt"] = [0.011, 0.009]  # rare, and made as rarely
    assert verdict_of(snapshots) == HEALTHY
    for each in snapshots:
        each["modes"]["shirt"] = [0.0, 0.1]
    assert verdict_of(snapshots) == HEALTHY


def test_rare_modes_count_as_missing_while_d_is_at_chance(prose):
    snapshots = snapshots_of()
    for each in snapshots:
        each["modes"]["bag"][1] = 0.25 * each["modes"]["bag"][0]
    assert verdict_of(snapshots, rows_of(real=0.55, fake=0.55)) == HEALTHY
    verdict = diagnose(rows_of(real=0.5, fake=0.5), snapshots)
    prose("verdict", verdict.message)
    for each in snapshots:
        each["modes"]["bag"][1] = 0.35 * each["modes"]["bag"][0]
    assert verdict_of(snapshots, rows_of(real=0.5, fake=0.5)) == HEALTHY


def test_a_d_that_memorizes_the_training_images_is_memorization(prose):
    rows = rows_of(real=0.9)
    for row in rows:
        row["epoch"] = 100 * row["kimg"]
    verdict = diagnose(rows, snapshots_of())
    assert (verdict.name, verdict.began_kimg) == ("memorization", 3.0)
    prose("verdict", verdict.message)
    assert verdict_of(snapshots_of()[:3], rows) == HEALTHY
    assert verdict_of(snapshots_of(), [{**row, "accuracy_real": 0.75} for row in rows]) == HEALTHY
    assert verdict_of(snapshots_of(), [{**row, "epoch": 30.0} for row in rows]) == HEALTHY


def test_copies_are_memorization(prose):
    verdict = diagnose(rows_of(), snapshots_of(copies=[0, 0, 0, 0, 0.5, 0.6]))
    assert (verdict.name, verdict.began_kimg) == ("memorization", 5.0)
    prose("verdict", verdict.message)
    assert verdict_of(snapshots_of(copies=0.35)) == HEALTHY
    assert verdict_of(snapshots_of(copies=[0, 0, 0, 0, 0, 0.9])) == HEALTHY


def test_a_network_that_does_not_move_is_named(prose):
    verdict = diagnose(rows_of(d=0.0), snapshots_of())
    assert verdict.name == "generator_wins"
    prose("verdict", verdict.message)
    prose("verdict", diagnose(rows_of(g=1e-9), snapshots_of()).message)
    assert verdict_of(snapshots_of(), rows_of(d=0.0, g=0.0)) == "stalled"  # a D that nothing challenges sleeps too
    assert verdict_of(snapshots_of(), rows_of(d=1e-5, g=1e-5)) == HEALTHY


def test_g_wins_if_d_takes_fakes_for_real(prose):
    poor = snapshots_of((15, 14, 13, 14, 14, 14, 14))
    verdict = diagnose(rows_of(fake=0.1), poor)
    assert verdict.name == "generator_wins"
    prose("verdict", verdict.message)
    assert verdict_of(poor, rows_of(fake=0.2)) == "stalled"
    assert verdict_of(poor[:5], rows_of(fake=0.1)) == HEALTHY
    assert verdict_of(snapshots_of(), rows_of(fake=0.1)) == HEALTHY  # young, and samples improve


def test_d_wins_only_if_samples_are_poor_and_do_not_improve(prose):
    poor = (15, 14, 13, 14, 14, 14, 14, 14)
    verdict = diagnose(rows_of(1.0, 0.99), snapshots_of(poor))
    assert (verdict.name, verdict.title) == ("discriminator_wins", "D wins")
    prose("verdict", verdict.message)
    assert verdict_of(snapshots_of(poor), rows_of(1.0, 0.85)) == "stalled"
    assert verdict_of(snapshots_of([fd / 4 for fd in poor]), rows_of(1.0, 0.99)) == HEALTHY
    assert verdict_of(snapshots_of((15, 14, 13, 12, 11, 10)), rows_of(1.0, 0.99)) == HEALTHY


def test_an_fd_that_rises_and_falls_is_oscillating():
    assert verdict_of(snapshots_of((8, 6, 4, 8, 4, 8, 4))) == "oscillating"
    assert verdict_of(snapshots_of((8, 6, 4, 4.5, 4, 4.5, 4))) == HEALTHY
    assert verdict_of(snapshots_of((16, 12, 8, 6, 4, 2.5, 1.5))) == HEALTHY  # steep, and one way


def test_an_fd_far_above_its_best_has_diverged(prose):
    verdict = diagnose(rows_of(), snapshots_of((8, 6, 4, 9, 10, 10.5)))
    assert (verdict.name, verdict.began_kimg) == ("diverged", 4.0)
    prose("verdict", verdict.message)
    assert verdict_of(snapshots_of((8, 6, 4, 6, 6, 6))) == HEALTHY
    assert verdict_of(snapshots_of((0.5, 2, 2, 2, 2, 2))) == HEALTHY  # twice very little is little
    assert verdict_of(snapshots_of((60, 50, 40, 32, 31))) == HEALTHY  # on its way
    worthless = diagnose(rows_of(), snapshots_of((40, 45, 45, 45, 45)))
    prose("verdict", worthless.message)


def test_a_poor_fd_without_improvement_is_stalled(prose):
    verdict = diagnose(rows_of(), snapshots_of((10, 9, 8.9, 9, 8.95, 9, 8.92)))
    assert verdict.name == "stalled"
    prose("verdict", verdict.message)
    assert verdict_of(snapshots_of((10, 9, 8.9, 9, 8.95, 8, 7.5))) == HEALTHY
    assert verdict_of(snapshots_of((4, 4, 4, 4, 4, 4, 4))) == HEALTHY  # good enough to stay there


def test_losses_without_a_boundary_have_no_winner():
    rows = [{"iteration": row["iteration"], "kimg": row["kimg"], "score_real": 3.0} for row in rows_of()]
    assert verdict_of(snapshots_of(), rows) == HEALTHY
    assert verdict_of(snapshots_of((15, 14, 13, 14, 14, 14, 14)), rows) == "stalled"


def test_a_snapshot_right_after_another_uses_the_last_row():
    snapshots = snapshots_of()
    assert (
        diagnose(rows_of(g=0.0), [*snapshots, {**snapshots[-1], "iteration": snapshots[-1]["iteration"] + 1}]).name
        == "stalled"
    )


def test_only_rows_between_snapshots_count():
    rows = rows_of(d=0.0)
    for row in rows[3:]:
        row["update_discriminator"] = 1e-3
    assert verdict_of(snapshots_of()[:3], rows) == "generator_wins"
    assert verdict_of(snapshots_of(), rows) == HEALTHY


def test_a_single_snapshot_gives_the_verdicts_that_need_no_history():
    rows = rows_of()
    assert diagnose_once(rows, snapshot(5, 15, diversity=0.2)).name == "full_collapse"
    assert diagnose_once(rows, snapshot(5, 4, missing=1)).name == "partial_collapse"
    assert diagnose_once(rows, snapshot(5, 4, copies=0.9)).name == "memorization"
    assert diagnose_once(rows, snapshot(5, 40)).name == "diverged"
    assert diagnose_once(rows_of(1.0, 1.0), snapshot(5, 15)).name == HEALTHY
    assert diagnose(rows, [snapshot(5, 15, diversity=0.2)]).name == HEALTHY


def with_numbers(snapshots: list[dict], **numbers: float | list[float]) -> list[dict]:
    """Return snapshots with more metrics: a list has a value for each of them."""
    out = []
    for index, each in enumerate(snapshots):
        values = {name: value[index] if isinstance(value, list) else value for name, value in numbers.items()}
        out.append({**each, **{f"{name}500_train": value for name, value in values.items()}})
    return out


def test_too_much_fine_detail_is_grainy_too_little_is_blurred(prose):
    good = (5.0, 4.9, 4.9, 4.9, 4.9)
    grain = diagnose(rows_of(), with_numbers(snapshots_of(good), texture=1.7, texture_median=20.0))
    assert (grain.name, grain.title, grain.began_kimg) == ("grainy", "grainy", 1.0)
    prose("grain", grain.message)
    ground = diagnose(rows_of(), with_numbers(snapshots_of(good), texture=1.05, texture_median=12.0))
    assert ground.name == "grainy"
    prose("noisy ground", ground.message)
    blur = diagnose(rows_of(), with_numbers(snapshots_of((*good, 4.9, 4.9)), texture=0.5, texture_median=0.0))
    assert blur.name == "blurred"
    prose("blur", blur.message)
    for texture, median in ((1.0, 0.0), (1.2, 3.0), (0.9, 12.0), (0.8, 0.0)):
        fine = with_numbers(snapshots_of((*good, 4.9, 4.9)), texture=texture, texture_median=median)
        assert diagnose(rows_of(), fine).name == HEALTHY
    coming = with_numbers(snapshots_of((19, 17, 14, 12, 10)), texture=1.7, texture_median=20.0)
    assert diagnose(rows_of(), coming).name == HEALTHY  # poor and improving: too early to say


def test_weights_without_averaging_that_are_much_better_show_an_average_that_lags(prose):
    """An average over most of the run has one class where the raw weights have all: no mode collapse."""
    snapshots = snapshots_of((19, 19, 19, 19, 19), diversity=0.1, missing=4)
    assert verdict_of(snapshots) == "full_collapse"
    late = diagnose(rows_of(), with_numbers(snapshots, raw_fd=5.0, averaged_fd=19.5))
    assert late.name == "lagging_average"
    prose("lagging average", late.message)
    assert verdict_of(with_numbers(snapshots, raw_fd=18.0, averaged_fd=19.5)) == "full_collapse"


def test_the_best_snapshot_has_the_lowest_fd_times_its_false_detail():
    def best(fds, textures, spreads=(0.0, 0.0)) -> float:
        snapshots = with_numbers(snapshots_of(fds), texture=list(textures))
        for each in snapshots:
            each["deviations"] = {"fd": spreads[0], "texture": spreads[1]}
        return best_snapshot(snapshots)["kimg"]

    assert best((3.0, 2.0, 2.5), (1.0, 2.0, 1.0)) == 3  # 2 x 2 against 2.5
    assert best((3.0, 2.0, 2.5), (1.0, 0.5, 1.0)) == 3  # blur costs as much
    assert best((3.0, 1.0, 2.5), (1.0, 2.0, 1.0)) == 2  # fd decides where it is much better
    assert best((3.0, 2.0, 2.5), (1.0, 1.2, 1.0), (0.0, 0.1)) == 2  # a texture within its deviation costs nothing
    assert best((3.0, 2.0, 2.1), (1.0, 1.3, 1.04), (0.1, 0.0)) == 3
    assert best((3.0, 2.0, 1.9), (1.0, 1.0, 1.04), (0.1, 0.0)) == 2  # fd within its deviation: the better texture
    assert best((3.0, 2.9, 2.8), (1.6, 1.65, 1.7), (0.0, 0.05)) == 3  # textures that differ by noise: fd decides
    assert best((2.0, 1.9), (float("nan"), 1.9)) == 2  # from before there was such a metric
    assert best_snapshot(snapshots_of((float("nan"), 3.0, 2.0)))["kimg"] == 3.0


def test_of_two_equally_good_snapshots_the_one_that_covers_more_is_the_best():
    """A late snapshot of a long run, whose fd differs from the lowest by noise, is not lost to one of mid-run."""

    def best(fds, covered, spread=0.01) -> float:
        snapshots = snapshots_of(fds)
        for each, coverage in zip(snapshots, covered, strict=True):
            each["coverage2k_x_train"] = coverage
            each["deviations"] = {"fd": 0.1, "coverage": spread}
        return best_snapshot(snapshots)["kimg"]

    assert best((3.0, 2.0, 2.2), (0.4, 0.5, 0.6)) == 3
    assert best((3.0, 2.0, 1.8), (0.4, 0.6, 0.5)) == 2
    assert best((3.0, 2.0, 2.2), (0.4, 0.5, 0.52)) == 2  # coverage differs by noise: fd decides
    assert best((3.0, 2.0, 2.4), (0.4, 0.5, 0.9)) == 2  # fd differs by more than noise
    assert best((3.0, 2.0, 2.2), (0.4, 0.5, 0.6), spread=0.0) == 2  # from before coverage had a deviation


def test_columns_are_found_whatever_the_protocol():
    row = {"kimg": 1.0, "fid500_train": 7.0, "diversity500_train": 0.5, "fd_of_one": 3.0}
    assert column_of(row, "fd") == "fid500_train"
    assert measure(row, "diversity") == 0.5
    assert measure(row, "coverage") != measure(row, "coverage")  # NaN
    assert best_snapshot(snapshots_of((3, 2, 4)))["kimg"] == 2.0
    assert best_snapshot([]) is None
    assert gone(snapshot(1, 1.0, missing=2), LIMITS) == ["shirt", "shoe"]


def test_every_rule_has_a_title_and_hope_is_lost_for_known_verdicts():
    assert {rule.verdict for rule in RULES} | {HEALTHY} == set(TITLES)
    assert set(HOPELESS) <= set(TITLES)


@pytest.mark.parametrize("field", Thresholds.model_fields)
def test_every_threshold_is_used(field):
    import inspect

    from gansmith.evaluation import health
    from gansmith.evaluation import thresholds as snapshots

    assert f"limits.{field}" in inspect.getsource(health) + inspect.getsource(snapshots)
