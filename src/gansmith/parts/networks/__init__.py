"""Networks: one file for each architecture, as a config that builds a generator and a discriminator."""
