"""``python -m gansmith``, which torchrun needs."""

from gansmith.cli.app import main

main()
