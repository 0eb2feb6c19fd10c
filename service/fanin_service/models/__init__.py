"""Named models: recipes that are stored under a name, with the small files that belong to them, and their revisions."""
