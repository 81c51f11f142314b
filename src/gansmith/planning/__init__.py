"""The recipe ``auto``: planned for the images, the machine and the budget at hand."""
