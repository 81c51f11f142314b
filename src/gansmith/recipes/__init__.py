"""Recipes: schema, loading, overrides, layer table, and the recipes as YAML files."""

AUTO = "auto"
AUTO_SUMMARY = "planned for your images, machine and time; the default"
AUTO_TEXT = f"""\
# {AUTO}: {AUTO_SUMMARY}.
# 'gansmith train DATA' plans a recipe, prints each choice with its reason, and saves it in the run folder.
# To see the plan first, or to change it:
#   gansmith plan photos/ --minutes 30 --out mine.yaml
#   gansmith train photos/ --recipe mine.yaml
"""
GOALS = {  # groups of the list that 'gansmith recipes' prints
    "New images on a CPU": ("auto", "compact", "r3gan-tiny", "dcgan", "lsgan", "hinge", "wgan", "wgan-gp"),
    "New images on a GPU": ("r3gan", "r3gan-small", "sngan", "wgan-gp-resnet"),
    "Well-known tutorials": ("dcgan-anime", "dcgan-celeba", "dcgan-cifar10"),
    "Learn how a GAN works": ("toy", "mlp-small", "vanilla", "linear", "conditional"),
    "Translate images": ("translate", "unpaired"),
    "Enlarge images": ("srresnet", "srgan"),
}
