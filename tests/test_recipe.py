import pytest
import yaml
from pydantic import ValidationError

from gansmith.errors import RecipeError
from gansmith.losses.hinge import Hinge
from gansmith.optimizers.adamw import AdamW
from gansmith.recipe import (
    MAX_YAML_BYTES,
    Recipe,
    differences,
    load_recipe,
    override,
    parse_recipe,
    recipe_names,
    recipe_text,
)
from gansmith.schedules import Ramp

LOSSES = "  known: hinge, least_squares, minimax, non_saturating, relativistic, wasserstein"
HINT = "  'gansmith recipes NAME' shows the fields of a recipe; the kinds of parts have more"
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


def message(*overrides: str, recipe: str = "dcgan") -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, overrides)
    text = str(caught.value)
    assert len(text.splitlines()) <= 3, "a message has at most three lines"
    return text


def parse_message(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, where="recipe x")
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


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


def test_a_short_name_of_the_top_does_not_reach_into_parts(recipe):
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


def test_an_optimizer_of_a_network_is_what_default_is_until_it_is_said(recipe):
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


def test_length_is_kimg_or_epochs(recipe):
    got = override(recipe, ("kimg=10",))
    assert (got.kimg, got.epochs) == (10, None)
    back = override(got, ("epochs=3",))
    assert (back.kimg, back.epochs) == (None, 3)
    assert message("epochs=null") == (
        "override 'epochs=null': a recipe's length is either kimg or epochs; set one and leave the other null"
    )
    assert parse_message(SMALL + "epochs: 2") == (
        "recipe x: a recipe's length is either kimg or epochs; set one and leave the other null"
    )


def test_overrides_apply_in_order(recipe):
    assert override(recipe, ("batch_size=8", "batch_size=16")).batch_size == 16
    assert override(recipe, ()) is recipe


def test_null_and_nothing_are_null(recipe):
    assert override(recipe, ("base_channels=null",)).method.generator.base_channels is None
    assert override(recipe, ("base_channels=",)).method.generator.base_channels is None


def test_the_recipe_that_was_given_stays_as_it_was(recipe):
    before = recipe.to_yaml()
    override(recipe, ("lr=1", "loss=hinge", "penalties=[]"))
    assert recipe.to_yaml() == before
    with pytest.raises(ValidationError, match="frozen"):
        recipe.batch_size = 3


# messages


def test_unknown_recipe():
    assert message(recipe="dcgann") == (
        "unknown recipe 'dcgann' (did you mean 'dcgan'?)\n"
        f"  known: {', '.join(['auto', *recipe_names()])}\n  or pass the path of a .yaml file"
    )


@pytest.mark.parametrize("name", ["missing.yaml", "a/b", "missing.yml", "/"])
def test_a_recipe_file_that_is_not_there(name):
    assert message(recipe=name) == f"recipe file '{name}' does not exist\n  known recipes: {', '.join(recipe_names())}"


@pytest.mark.parametrize(("text", "expected"), [
    ("batch_siz=3",
     f"override 'batch_siz=': no field of this recipe is called 'batch_siz' (did you mean 'batch_size'?)\n{HINT}"),
    ("data.siz=3",
     f"override 'data.siz=': no field of this recipe is called 'data.siz' (did you mean 'data.size'?)\n{HINT}"),
    ("qqq=3", f"override 'qqq=': no field of this recipe is called 'qqq'\n{HINT}"),
    ("batch_size", "override 'batch_size' is not of the form key=value\n  for example batch_size=64"),
    ("=3", "override '=3' is not of the form key=value\n  for example batch_size=64"),
    ("loss=hing", f"override 'loss=hing': method.loss: unknown loss 'hing' (did you mean 'hinge'?)\n{LOSSES}"),
    ("loss=3",
     f"override 'loss=3': method.loss: a loss is written as a name or as a mapping with 'kind', got 3\n{LOSSES}"),
    ("loss={kind: hinge, margin: 1}",
     "override 'loss={kind: hinge, margin: 1}': method.loss: 'margin' is not a field of loss 'hinge'\n  fields: none"),
    ("loss={kind: minimax, reallabel: 1}",
     "override 'loss={kind: minimax, reallabel: 1}': method.loss: 'reallabel' is not a field of loss 'minimax' "
     "(did you mean 'real_label'?)\n  fields: real_label, fake_label"),
    ("batch_size=1", "override 'batch_size=1': batch_size: input should be greater than or equal to 2, got 1"),
    ("real_label=0.1",
     "override 'real_label=0.1': method.loss.real_label: input should be greater than or equal to 0.5, got 0.1"),
    ("kimg=-1", "override 'kimg=-1': kimg: input should be greater than 0, got -1"),
    ("kimg=.inf", "override 'kimg=.inf': kimg: input should be a finite number, got inf"),
    ("channels=2", "override 'channels=2': data.channels: input should be 1, 3 or 4, got 2"),
    ("optimizers.generator=adm",
     "override 'optimizers.generator=adm': optimizers.generator: unknown optimizer 'adm' (did you mean 'adam'?)\n"
     "  known: adam, adamw, rmsprop"),
    ("summary=[1]", "override 'summary=[1]': summary: input should be a valid string, got [1]"),
    ("loss=*all", "override 'loss=*all': YAML anchors and aliases are not allowed\n  write the value out"),
    ("loss=&x hinge", "override 'loss=&x hinge': YAML anchors and aliases are not allowed\n  write the value out"),
])  # fmt: skip
def test_messages_of_overrides(text, expected):
    assert message(text) == expected


@pytest.mark.parametrize(("text", "says"), [
    ("lr=fast", "optimizers.default.lr"),
    ("lr={start: 1, end: 0, begin: 0.5, until: 0.1}", "begin (0.5) must be below until (0.1)"),
    ("lr={start: 1, end: 0, shap: cosine}", "shap"),
    ("lr=-1", "optimizers.default.lr"),
    ("beta1=1.5", "beta1"),
    ("kind=adam", "kind"),
    ("size=big", "size is one side or HEIGHTxWIDTH, for example 64 or 48x64, got 'big'"),
    ("name=UPPER", "name"),
    ("kimg=[[", "not valid YAML"),
])  # fmt: skip
def test_messages_say_what_is_wrong(text, says):
    assert message(text).startswith(f"override '{text}': ")
    assert says in message(text)


@pytest.mark.parametrize(
    "value", ["9" * 5000, "2024-13-45", "[" * 1500 + "]" * 1500, "!!python/name:os.system", "\x00"]
)
def test_values_that_yaml_cannot_read(value):
    assert "override 'kimg=" in message(f"kimg={value}")


@pytest.mark.parametrize(("text", "expected"), [
    (SMALL.replace("batch_size", "batchsize"),
     "recipe x: 'batchsize' is not a field of a recipe (did you mean 'batch_size'?)"),
    (SMALL + "data: {siz: 3}", "recipe x: 'data.siz' is not a field of a recipe (did you mean 'size'?)\n"
     "  fields: size, fit, channels, mirror"),
    (SMALL.replace("batch_size: 8\n", ""), "recipe x: 'batch_size' is missing"),
    (SMALL.replace("name: small\n", ""), "recipe x: 'name' is missing"),
    (SMALL.replace("generator: mlp, ", "", 1), "recipe x: 'method.generator' is missing"),
    (SMALL.replace("default: adam", "generator: adam"), "recipe x: optimizers needs an entry 'default'"),
    ("- 1\n- 2", "recipe x: a recipe is a mapping of fields, got list"),
    ("", "recipe x: a recipe is a mapping of fields, got NoneType"),
    ("hello", "recipe x: a recipe is a mapping of fields, got str"),
    ("a: [1", "recipe x: not valid YAML: while parsing a flow sequence"),
    ("a: &x 1\nb: *x", "recipe x: YAML anchors and aliases are not allowed\n  write the value out"),
    ("a: !!python/object/apply:os.system [ls]", "recipe x: not valid YAML: could not determine a constructor"),
])  # fmt: skip
def test_messages_of_files(text, expected):
    assert parse_message(text).startswith(expected)


def test_the_first_error_and_how_many_more():
    text = SMALL.replace("batch_size: 8", "batch_size: 1").replace("kimg: 1", "kimg: -1")
    assert parse_message(text) == (
        "recipe x: batch_size: input should be greater than or equal to 2, got 1\n  and 1 more"
    )


def test_errors_of_parts_with_more_to_say_keep_to_three_lines():
    text = SMALL.replace("method: {", "method: {loss: hing, ").replace("batch_size: 8", "batch_size: 1")
    assert "unknown loss 'hing' (did you mean 'hinge'?)" in parse_message(text)


def test_a_bomb_of_aliases_is_refused_before_it_is_built():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "anchors and aliases are not allowed" in parse_message("\n".join(lines))


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (MAX_YAML_BYTES + 1))
    assert message(recipe=str(path)) == f"recipe file '{path}' has 1,048,577 bytes; 1,048,576 are allowed"


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_bytes(b"name: \xff\xfe")
    assert str(path) in message(recipe=str(path))


# files


def test_a_file_is_a_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    assert load_recipe(str(path)) == parse_recipe(SMALL, where="x")
    assert load_recipe(str(path), ("batch_size=4",)).batch_size == 4
    assert recipe_text(str(path)) == SMALL


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
