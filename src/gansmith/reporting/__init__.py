"""Reports for people: report page, curves, film, model card, diagnosis, loggers."""
