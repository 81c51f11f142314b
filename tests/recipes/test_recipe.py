import pytest
import yaml
from pydantic import ValidationError

from gansmith.core.schedules import Ramp
from gansmith.parts.losses.hinge import Hinge
from gansmith.parts.optimizers.adamw import AdamW
from gansmith.recipes.load import MAX_YAML_BYTES, differences, load_recipe, override, parse_recipe, recipe_text
from gansmith.recipes.recipe import Recipe

SMALL = """
name: small
method: {kind: latent, generator: mlp, discriminator: mlp}
optimizers: {default: adam}
batch_size: 8
kimg: 1
"""


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("dcgan")


def load(*overrides: str, recipe: str = "dcgan") -> Recipe:
    return load_recipe(recipe, overrides)


# overrides


def test_an_end_sets_every_field_of_that_name(recipe):
    got = override(recipe, ("base_channels=8",))
    assert got.method.generator.base_channels == got.method.discriminator.base_channels == 8
    assert differences(recipe, got) == [
        "method.discriminator.base_channels: 64 -> 8", "method.generator.base_channels: 64 -> 8",
    ]  # fmt: skip


def test_a_path_sets_one(recipe):
    full = override(recipe, ("method.generator.base_channels=8",))
    assert (full.method.generator.base_channels, full.method.discriminator.base_channels) == (8, 64)
    assert override(recipe, ("generator.base_channels=8",)) == full


def test_a_top_level_name_sets_no_field_of_a_part(recipe):
    got = override(load_recipe("mlp-small"), ("kimg=3",))
    assert (got.kimg, got.epochs) == (3, None)
    assert got.ema_half_life_kimg == 5
    assert got.checkpoint_kimg == 50


def test_a_part_by_name(recipe):
    got = override(recipe, ("loss=hinge", "augment=mirror"))
    assert got.method.loss == Hinge()
    assert got.method.augment.kind == "mirror"
    assert override(got, ("augment=null",)) == override(recipe, ("loss=hinge",))


def test_a_part_as_a_mapping(recipe):
    got = override(recipe, ("loss={kind: least_squares, real_label: 0.9}",))
    assert (got.method.loss.kind, got.method.loss.real_label) == ("least_squares", 0.9)


def test_a_list_of_parts(recipe):
    got = override(recipe, ("norm=none", "penalties=[r1, {kind: r2, weight: 3}]"))
    assert [(part.kind, part.weight) for part in got.method.penalties] == [("r1", 10), ("r2", 3)]
    again = override(got, ("penalties.1.weight=4", "interval=16"))
    assert [(part.weight, part.interval) for part in again.method.penalties] == [(10, 16), (4, 16)]
    assert [part.weight for part in override(got, ("weight=5",)).method.penalties] == [5, 5]


def test_another_kind_drops_the_fields_of_the_old_one(recipe):
    got = override(recipe, ("loss.real_label=0.9", "loss.kind=hinge"))
    assert got.method.loss == Hinge()
    same = override(recipe, ("loss.real_label=0.9", "loss.kind=non_saturating"))
    assert same.method.loss.real_label == 0.9
    listed = override(override(recipe, ("norm=none", "penalties=[{kind: r1, weight: 3}]")), ("penalties.0.kind=r2",))
    assert (listed.method.penalties[0].kind, listed.method.penalties[0].weight) == ("r2", 10)


def test_an_optimizer_for_one_network(recipe):
    got = override(recipe, ("optimizers.discriminator={kind: adamw, lr: 4e-4}",))
    assert got.optimizer_for("discriminator") == AdamW(lr=4e-4)
    assert got.optimizer_for("generator") == recipe.optimizers["default"]
    assert override(got, ("lr=1e-3",)).optimizer_for("discriminator").lr == 1e-3
    assert override(got, ("optimizers.default.lr=1e-3",)).optimizer_for("discriminator").lr == 4e-4


def test_an_optimizer_of_a_network_by_name(recipe):
    got = override(recipe, ("optimizers.discriminator=rmsprop",))
    assert got.optimizer_for("discriminator").kind == "rmsprop"


@pytest.mark.parametrize(
    ("text", "value"), [("lr=3e-4", 3e-4), ("lr=0.001", 0.001), ("lr='2e-3'", 2e-3), ("lr=1", 1.0)]
)
def test_numbers_as_people_write_them(recipe, text, value):
    assert override(recipe, (text,)).optimizers["default"].lr == value


def test_a_ramp(recipe):
    got = override(recipe, ("lr={start: 2e-4, end: 0, shape: cosine, until: 0.5}",))
    assert got.optimizers["default"].lr == Ramp(start=2e-4, end=0, shape="cosine", until=0.5)
    assert override(got, ("lr.end=1e-5",)).optimizers["default"].lr.end == 1e-5


def test_size_in_every_form(recipe):
    assert override(recipe, ("size=64",)).data.shape == (64, 64)
    assert override(recipe, ("size=48x64",)).data.shape == (48, 64)
    assert override(recipe, ("size=[48, 64]",)).data.shape == (48, 64)
    assert override(recipe, ("size=64", "size=null")).data.size is None


def test_length_is_kimg_or_epochs(refused, recipe):
    got = override(recipe, ("kimg=10",))
    assert (got.kimg, got.epochs) == (10, None)
    back = override(got, ("epochs=3",))
    assert (back.kimg, back.epochs) == (None, 3)
    with refused("recipe.invalid_value"):
        load("epochs=null")
    with refused("recipe.invalid_value"):
        parse_recipe(SMALL + "epochs: 2", where="recipe x")


def test_overrides_apply_in_order(recipe):
    assert override(recipe, ("batch_size=8", "batch_size=16")).batch_size == 16
    assert override(recipe, ()) is recipe


def test_null_and_nothing_are_null(recipe):
    assert override(recipe, ("base_channels=null",)).method.generator.base_channels is None
    assert override(recipe, ("base_channels=",)).method.generator.base_channels is None


def test_overrides_do_not_change_the_given_recipe(recipe):
    before = recipe.to_yaml()
    override(recipe, ("lr=1", "loss=hinge", "penalties=[]"))
    assert recipe.to_yaml() == before
    with pytest.raises(ValidationError, match="frozen"):
        recipe.batch_size = 3


# messages


def test_unknown_recipe(refused):
    with refused("recipe.unknown_recipe"):
        load(recipe="dcgann")


@pytest.mark.parametrize("name", ["missing.yaml", "a/b", "missing.yml", "/"])
def test_a_missing_recipe_file(refused, name):
    with refused("recipe.file_not_found"):
        load(recipe=name)


@pytest.mark.parametrize(("text", "code"), [
    ("batch_siz=3",
     "recipe.unknown_key"),
    ("data.siz=3",
     "recipe.unknown_key"),
    ("qqq=3", "recipe.unknown_key"),
    ("batch_size", "recipe.override_form"),
    ("=3", "recipe.override_form"),
    ("loss=hing", "recipe.unknown_part"),
    ("loss=3",
     "recipe.part_form"),
    ("loss={kind: hinge, margin: 1}",
     "recipe.unknown_part_field"),
    ("loss={kind: minimax, reallabel: 1}",
     "recipe.unknown_part_field"),
    ("batch_size=1", "recipe.invalid_value"),
    ("real_label=0.1",
     "recipe.invalid_value"),
    ("kimg=-1", "recipe.invalid_value"),
    ("kimg=.inf", "recipe.not_yaml"),
    ("channels=33", "recipe.invalid_value"),
    ("optimizers.generator=adm",
     "recipe.unknown_part"),
    ("summary=[1]", "recipe.invalid_value"),
    ("loss=*all", "recipe.yaml_anchors"),
    ("loss=&x hinge", "recipe.yaml_anchors"),
])  # fmt: skip
def test_messages_of_overrides(refused, text, code):
    with refused(code):
        load(text)


@pytest.mark.parametrize(("text", "code"), [
    ("lr=fast", "recipe.invalid_value"),
    ("lr={start: 1, end: 0, begin: 0.5, until: 0.1}", "recipe.invalid_value"),
    ("lr={start: 1, end: 0, shap: cosine}", "recipe.unknown_field"),
    ("lr=-1", "recipe.invalid_value"),
    ("beta1=1.5", "recipe.invalid_value"),
    ("kind=adam", "recipe.unknown_part"),
    ("size=big", "recipe.invalid_value"),
    ("name=UPPER", "recipe.invalid_value"),
    ("kimg=[[", "recipe.not_yaml"),
])  # fmt: skip
def test_messages_of_invalid_values(refused, text, code):
    with refused(code):
        load(text)


@pytest.mark.parametrize(
    "value",
    ["9" * 5000, "2024-13-45", "[" * 1500 + "]" * 1500, "!!python/name:os.system", "\x00"],
    ids=["number", "date", "deep", "tag", "zero"],
)
def test_values_that_yaml_cannot_read(refused, value):
    with refused("recipe.not_yaml", ["(?<=kimg=)[^']*", "(?<=not valid YAML: ).*"]):  # long, and in Python's words
        load(f"kimg={value}")


@pytest.mark.parametrize(("text", "code"), [
    (SMALL.replace("batch_size", "batchsize"),
     "recipe.unknown_field"),
    (SMALL + "data: {siz: 3}", "recipe.unknown_field"),
    (SMALL.replace("batch_size: 8\n", ""), "recipe.missing_field"),
    (SMALL.replace("name: small\n", ""), "recipe.missing_field"),
    (SMALL.replace("generator: mlp, ", "", 1), "recipe.missing_field"),
    (SMALL.replace("default: adam", "generator: adam"), "recipe.invalid_value"),
    ("- 1\n- 2", "recipe.not_a_mapping"),
    ("", "recipe.not_a_mapping"),
    ("hello", "recipe.not_a_mapping"),
    ("a: [1", "recipe.not_yaml"),
    ("a: &x 1\nb: *x", "recipe.yaml_anchors"),
    ("a: !!python/object/apply:os.system [ls]", "recipe.not_yaml"),
])  # fmt: skip
def test_messages_of_files(refused, text, code):
    with refused(code):
        parse_recipe(text, where="recipe x")


def test_the_first_error_and_how_many_more(refused):
    text = SMALL.replace("batch_size: 8", "batch_size: 1").replace("kimg: 1", "kimg: -1")
    with refused("recipe.invalid_value"):
        parse_recipe(text, where="recipe x")


def test_errors_of_parts_with_more_to_say_keep_to_three_lines(refused):
    text = SMALL.replace("method: {", "method: {loss: hing, ").replace("batch_size: 8", "batch_size: 1")
    with refused("recipe.unknown_part"):
        parse_recipe(text, where="recipe x")


def test_a_bomb_of_aliases_is_refused_before_it_is_built(refused):
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with refused("recipe.yaml_anchors"):
        parse_recipe("\n".join(lines), where="recipe x")


def test_a_file_that_is_too_large(refused, tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (MAX_YAML_BYTES + 1))
    with refused("recipe.file_too_large"):
        load(recipe=str(path))


def test_a_file_that_is_not_text(refused, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with refused("recipe.not_text"):
        load(recipe=str(path))


# files


def test_a_file_is_a_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    assert load_recipe(str(path)) == parse_recipe(SMALL, where="x")
    assert load_recipe(str(path), ("batch_size=4",)).batch_size == 4
    assert recipe_text(str(path)) == SMALL


@pytest.mark.slow
def test_yaml_out_and_in_is_the_same(recipe):
    odd = override(recipe, (
        "norm=none", "penalties=[r1, {kind: r2, weight: {start: 1, end: 0, until: 0.5}}]", "constraints=[weight_clip]",
        "size=48x64", "optimizers.discriminator=rmsprop", "lr=1e-5", "augment=mirror", "summary='a: b # c'",
    ))  # fmt: skip
    assert parse_recipe(odd.to_yaml(), where="x") == odd
    assert yaml.safe_load(odd.to_yaml()) == odd.model_dump(mode="json")
    assert parse_recipe(odd.to_yaml(), where="x").to_yaml() == odd.to_yaml()


def test_differences(recipe):
    assert differences(recipe, recipe) == []
    got = override(recipe, ("lr=1e-4", "kimg=5", "size=48x64"))
    assert differences(recipe, got) == [
        "data.size.0: absent -> 48",
        "data.size.1: absent -> 64",
        "epochs: 25.0 -> None",
        "kimg: None -> 5.0",
        "optimizers.default.lr: 0.0002 -> 0.0001",
    ]
    assert differences(recipe, override(recipe, ("loss=hinge",))) == [
        "method.loss.fake_label: 0.0 -> absent",
        "method.loss.kind: non_saturating -> hinge",
        "method.loss.real_label: 0.9 -> absent",
    ]


def test_differences_see_a_list_that_becomes_empty(recipe):
    full = override(recipe, ("norm=none", "penalties=[r1]"))
    texts = differences(full, override(full, ("penalties=[]",)))
    assert any(text.startswith("method.penalties") for text in texts)
