"""The recipes that come with gansmith, as YAML files, and the one that is made for the data at hand."""

AUTO = "auto"
AUTO_SUMMARY = "chosen for your images, your machine and your time, each choice with its reason; the default"
AUTO_TEXT = f"""\
# {AUTO}: {AUTO_SUMMARY}.
# It is no file: 'gansmith train DATA' makes one when it begins, prints what it chose, and keeps it in the run folder.
# To see it first, or to change it:
#   gansmith plan photos/ --minutes 30 --out mine.yaml
#   gansmith train photos/ --recipe mine.yaml
"""
