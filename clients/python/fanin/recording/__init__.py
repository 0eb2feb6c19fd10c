"""Recording: which distributions a model's own initialization draws from, and the recipe that says the same."""
