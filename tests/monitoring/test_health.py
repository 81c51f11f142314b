"""Every verdict on made-up rows and looks: what leads to it, and the nearest thing that does not."""

import pytest

from gansmith.core.metric_name import column_of
from gansmith.monitoring.health import HEALTHY, HOPELESS, RULES, TITLES, diagnose, diagnose_once
from gansmith.monitoring.thresholds import Thresholds, gone
from gansmith.runs.log import best_snapshot, measure

LIMITS = Thresholds()
CLASSES = ("shirt", "shoe", "bag", "coat", "dress")
FALLING = (8.0, 6.0, 5.0, 4.0, 3.0, 2.5)  # of 20 that one average image would get: healthy


def look(at: int, fd: float, *, diversity: float = 0.95, copies: float = 0.0, missing: int = 0, of=CLASSES) -> dict:
    """Return a look: the first ``missing`` kinds are not made."""
    made = 1 / (len(of) - missing)
    kinds = {name: [1 / len(of), 0.0 if index < missing else made] for index, name in enumerate(of)}
    numbers = {
        "fd2k_x_train": fd,
        "coverage2k_x_train": 0.5,
        "diversity2k_x_train": diversity,
        "copies2k_x_train": copies,
    }
    return {"iteration": 10 * at, "kimg": float(at), **numbers, "fd_of_one": 20.0, "modes": kinds}


def looks_of(fds=FALLING, **series) -> list[dict]:
    """Return looks at 1, 2, ... kimg; a series has a value for each look, or one for all."""
    out = []
    for index, fd in enumerate(fds):
        values = {name: each[index] if isinstance(each, list) else each for name, each in series.items()}
        out.append(look(index + 1, fd, **values))
    return out


def rows_of(real: float = 0.8, fake: float = 0.8, d: float = 1e-3, g: float = 1e-3, kimg: int = 20) -> list[dict]:
    numbers = {"accuracy_real": real, "accuracy_fake": fake, "update_discriminator": d, "update_generator": g}
    return [{"iteration": 10 * at + 5, "kimg": at + 0.5, **numbers} for at in range(kimg)]


def verdict_of(looks, rows=None) -> str:
    return diagnose(rows_of() if rows is None else rows, looks).name


def test_a_run_that_learns_is_healthy():
    verdict = diagnose(rows_of(), looks_of())
    assert (verdict.name, verdict.began_kimg, verdict.title) == (HEALTHY, None, "healthy")
    assert verdict.message == "healthy: fd is 2.5, the best so far; it was 8 at first"
    later = diagnose(rows_of(), looks_of((8, 6, 5, 5.2)))
    assert later.message == "healthy: fd is 5.2; it was best at 3.0 kimg: 5"
    assert diagnose([], looks_of((8.0,))).message == "healthy: fd is 8"


def test_a_healthy_run_names_the_kinds_that_are_still_to_come():
    early = diagnose(rows_of(), looks_of((19, 15), missing=2))
    assert early.reasons[1] == "so far 2 of 5 kinds of images are hardly ever made: shirt, shoe"
    assert early.message.startswith("healthy: fd is 15, the best so far; it was 19 at first; so far 2 of 5 kinds")


def test_every_prefix_of_a_run_that_learns_is_healthy():
    """G outputs nearly one image at first and makes more and more kinds: not yet learnt is no collapse."""
    looks = looks_of((19, 15, 11, 8, 6, 5), diversity=[0.1, 0.2, 0.4, 0.6, 0.8, 0.9], missing=[4, 3, 2, 1, 0, 0])
    assert [verdict_of(looks[:count], rows_of(real=1.0, fake=1.0)) for count in range(1, 7)] == [HEALTHY] * 6


def test_variety_that_is_lost_is_full_collapse_from_the_look_where_it_went():
    looks = looks_of((8, 6, 5, 9, 12, 14), diversity=[0.9, 0.9, 0.9, 0.3, 0.2, 0.2])
    assert verdict_of(looks[:4]) == HEALTHY  # one look may be an accident
    verdict = diagnose(rows_of(), looks[:5])
    assert (verdict.name, verdict.began_kimg) == ("full_collapse", 4.0)
    assert verdict.message == (
        "full mode collapse since 4.0 kimg: samples differ from each other 20% as much as real images do"
    )
    above = looks_of((8, 6, 5, 4.5, 4, 4), diversity=[0.9, 0.9, 0.9, 0.6, 0.6, 0.6])
    assert verdict_of(above) == HEALTHY


def test_variety_that_never_came_is_full_collapse_where_nothing_improves():
    stuck = looks_of((19, 19, 19, 19, 19), diversity=0.1)
    assert verdict_of(stuck) == "full_collapse"
    assert verdict_of(stuck[:3]) == HEALTHY
    assert verdict_of(looks_of((19, 17, 15, 13, 11), diversity=[0.1, 0.12, 0.15, 0.2, 0.25])) == HEALTHY


def test_most_kinds_gone_is_full_collapse_and_some_are_partial():
    assert verdict_of(looks_of(missing=[0, 0, 0, 4, 4, 4])) == "full_collapse"
    verdict = diagnose(rows_of(), looks_of(missing=[0, 0, 0, 1, 1, 1]))
    assert (verdict.name, verdict.began_kimg) == ("partial_collapse", 6.0)
    assert verdict.reasons == ("1 of 5 kinds of images are hardly ever made: shirt",)
    assert verdict_of(looks_of(missing=[0, 0, 0, 0, 1, 1])) == HEALTHY
    assert verdict_of(looks_of(missing=1)[:2]) == HEALTHY
    assert verdict_of(looks_of(missing=[0, 1, 1, 0, 1, 1])) == HEALTHY  # a kind that comes and goes
    assert verdict_of(looks_of(missing=[3, 3, 2, 2, 1, 0])) == HEALTHY
    young = (19, 17, 15, 13, 11, 9)
    assert verdict_of(looks_of(young, missing=1)) == HEALTHY  # poor still, and better from look to look
    assert verdict_of(looks_of((*young[:3], 3, 2.8, 2.6), missing=1)) == "partial_collapse"
    many = tuple(f"group {number}" for number in range(1, 12))
    assert verdict_of(looks_of(missing=1, of=many)) == HEALTHY  # less than a tenth
    verdict = diagnose(rows_of(), looks_of(missing=5, of=many))
    assert verdict.reasons[0].endswith("made: group 1, group 2, group 3, group 4 and 1 more")


def test_a_class_without_training_images_is_named_as_such():
    looks = looks_of(missing=1)
    for each in looks:
        each["modes"]["shirt"][0] = 0.0
    assert diagnose(rows_of(), looks).reasons[0].endswith("made: shirt (hardly a training image shows it)")
    for each in looks:
        each["modes"]["shirt"] = [0.009, 0.009]  # a classifier's mistakes: an even share is .2
    assert diagnose(rows_of(), looks).reasons[0].endswith("(hardly a training image shows it)")
    for each in looks:
        each["modes"]["shirt"] = [0.011, 0.009]  # rare, and made as rarely
    assert verdict_of(looks) == HEALTHY
    for each in looks:
        each["modes"]["shirt"] = [0.0, 0.1]
    assert verdict_of(looks) == HEALTHY


def test_kinds_that_are_made_rarely_count_while_d_is_at_chance():
    looks = looks_of()
    for each in looks:
        each["modes"]["bag"][1] = 0.25 * each["modes"]["bag"][0]
    assert verdict_of(looks, rows_of(real=0.55, fake=0.55)) == HEALTHY
    verdict = diagnose(rows_of(real=0.5, fake=0.5), looks)
    assert verdict.reasons == ("1 of 5 kinds of images are hardly ever made: bag",)
    for each in looks:
        each["modes"]["bag"][1] = 0.35 * each["modes"]["bag"][0]
    assert verdict_of(looks, rows_of(real=0.5, fake=0.5)) == HEALTHY


def test_a_d_that_knows_the_images_by_heart_is_memorization():
    rows = rows_of(real=0.9)
    for row in rows:
        row["epoch"] = 100 * row["kimg"]
    verdict = diagnose(rows, looks_of())
    assert (verdict.name, verdict.began_kimg) == ("memorization", 3.0)
    assert verdict.reasons == ("D has seen each image 550 times and knows 90% of them by heart",)
    assert verdict_of(looks_of()[:3], rows) == HEALTHY
    assert verdict_of(looks_of(), [{**row, "accuracy_real": 0.75} for row in rows]) == HEALTHY
    assert verdict_of(looks_of(), [{**row, "epoch": 30.0} for row in rows]) == HEALTHY


def test_copies_are_memorization():
    verdict = diagnose(rows_of(), looks_of(copies=[0, 0, 0, 0, 0.5, 0.6]))
    assert (verdict.name, verdict.began_kimg) == ("memorization", 5.0)
    assert verdict.reasons == ("60% of the samples are nearer to a training image than such images are to each other",)
    assert verdict_of(looks_of(copies=0.35)) == HEALTHY
    assert verdict_of(looks_of(copies=[0, 0, 0, 0, 0, 0.9])) == HEALTHY


def test_a_network_that_does_not_move_is_named():
    verdict = diagnose(rows_of(d=0.0), looks_of())
    assert (verdict.name, verdict.reasons) == (
        "generator_wins", ("D's weights hardly move: nothing tells G what is wrong",),
    )  # fmt: skip
    assert diagnose(rows_of(g=1e-9), looks_of()).message == "stalled since 1.0 kimg: G's weights hardly move"
    assert verdict_of(looks_of(), rows_of(d=0.0, g=0.0)) == "stalled"  # a D that nothing challenges sleeps too
    assert verdict_of(looks_of(), rows_of(d=1e-5, g=1e-5)) == HEALTHY


def test_fakes_that_pass_for_real_mean_that_g_wins():
    poor = looks_of((15, 14, 13, 14, 14, 14, 14))
    verdict = diagnose(rows_of(fake=0.1), poor)
    assert (verdict.name, verdict.reasons) == ("generator_wins", ("D takes 90% of the fakes for real",))
    assert verdict_of(poor, rows_of(fake=0.2)) == "stalled"
    assert verdict_of(poor[:5], rows_of(fake=0.1)) == HEALTHY
    assert verdict_of(looks_of(), rows_of(fake=0.1)) == HEALTHY  # young, and samples improve


def test_d_wins_only_where_samples_are_poor_and_stay_so():
    poor = (15, 14, 13, 14, 14, 14, 14, 14)
    verdict = diagnose(rows_of(1.0, 0.99), looks_of(poor))
    assert (verdict.name, verdict.title) == ("discriminator_wins", "D wins")
    assert verdict.reasons == ("D is right about 99% of the images, and samples are poor and do not get better",)
    assert verdict_of(looks_of(poor), rows_of(1.0, 0.85)) == "stalled"
    assert verdict_of(looks_of([fd / 4 for fd in poor]), rows_of(1.0, 0.99)) == HEALTHY
    assert verdict_of(looks_of((15, 14, 13, 12, 11, 10)), rows_of(1.0, 0.99)) == HEALTHY


def test_up_and_down_is_oscillating():
    assert verdict_of(looks_of((8, 6, 4, 8, 4, 8, 4))) == "oscillating"
    assert verdict_of(looks_of((8, 6, 4, 4.5, 4, 4.5, 4))) == HEALTHY
    assert verdict_of(looks_of((16, 12, 8, 6, 4, 2.5, 1.5))) == HEALTHY  # steep, and one way


def test_what_was_good_and_is_bad_has_diverged():
    verdict = diagnose(rows_of(), looks_of((8, 6, 4, 9, 10, 10.5)))
    assert (verdict.name, verdict.began_kimg) == ("diverged", 4.0)
    assert verdict.reasons == ("fd is 10.5, after 4 at its best",)
    assert verdict_of(looks_of((8, 6, 4, 6, 6, 6))) == HEALTHY
    assert verdict_of(looks_of((0.5, 2, 2, 2, 2, 2))) == HEALTHY  # twice very little is little
    assert verdict_of(looks_of((60, 50, 40, 32, 31))) == HEALTHY  # on its way
    worthless = diagnose(rows_of(), looks_of((40, 45, 45, 45, 45)))
    assert worthless.reasons == ("fd is 45: one average image, over and over, would get 20",)


def test_poor_and_no_better_is_stalled():
    verdict = diagnose(rows_of(), looks_of((10, 9, 8.9, 9, 8.95, 9, 8.92)))
    assert verdict.name == "stalled"
    assert verdict.reasons == ("fd is 8.92 and does not get better; it was 8.9 at its best",)
    assert verdict_of(looks_of((10, 9, 8.9, 9, 8.95, 8, 7.5))) == HEALTHY
    assert verdict_of(looks_of((4, 4, 4, 4, 4, 4, 4))) == HEALTHY  # good enough to stay there


def test_losses_without_a_boundary_have_no_winner():
    rows = [{"iteration": row["iteration"], "kimg": row["kimg"], "score_real": 3.0} for row in rows_of()]
    assert verdict_of(looks_of(), rows) == HEALTHY
    assert verdict_of(looks_of((15, 14, 13, 14, 14, 14, 14)), rows) == "stalled"


def test_a_look_that_follows_at_once_is_judged_by_the_last_row():
    looks = looks_of()
    assert diagnose(rows_of(g=0.0), [*looks, {**looks[-1], "iteration": looks[-1]["iteration"] + 1}]).name == "stalled"


def test_only_rows_between_looks_count():
    rows = rows_of(d=0.0)
    for row in rows[3:]:
        row["update_discriminator"] = 1e-3
    assert verdict_of(looks_of()[:3], rows) == "generator_wins"
    assert verdict_of(looks_of(), rows) == HEALTHY


def test_a_single_look_says_what_needs_no_history():
    rows = rows_of()
    assert diagnose_once(rows, look(5, 15, diversity=0.2)).name == "full_collapse"
    assert diagnose_once(rows, look(5, 4, missing=1)).name == "partial_collapse"
    assert diagnose_once(rows, look(5, 4, copies=0.9)).name == "memorization"
    assert diagnose_once(rows, look(5, 40)).name == "diverged"
    assert diagnose_once(rows_of(1.0, 1.0), look(5, 15)).name == HEALTHY
    assert diagnose(rows, [look(5, 15, diversity=0.2)]).name == HEALTHY


def test_columns_are_found_whatever_the_protocol():
    row = {"kimg": 1.0, "fid500_train": 7.0, "diversity500_train": 0.5, "fd_of_one": 3.0}
    assert column_of(row, "fd") == "fid500_train"
    assert measure(row, "diversity") == 0.5
    assert measure(row, "coverage") != measure(row, "coverage")  # NaN
    assert best_snapshot(looks_of((3, 2, 4)))["kimg"] == 2.0
    assert best_snapshot([]) is None
    assert gone(look(1, 1.0, missing=2), LIMITS) == ["shirt", "shoe"]


def test_every_rule_has_a_title_and_hope_is_lost_for_known_verdicts():
    assert {rule.verdict for rule in RULES} | {HEALTHY} == set(TITLES)
    assert set(HOPELESS) <= set(TITLES)


@pytest.mark.parametrize("field", Thresholds.model_fields)
def test_every_threshold_is_used(field):
    import inspect

    from gansmith.monitoring import health
    from gansmith.monitoring import thresholds as looks

    assert f"limits.{field}" in inspect.getsource(health) + inspect.getsource(looks)
