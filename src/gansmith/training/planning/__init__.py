"""Every run's recipe: read by name, or planned (``auto``) for images, machine and budget."""
