"""Named models: recipes with the small files that belong to them, kept under a name, and their revisions."""
