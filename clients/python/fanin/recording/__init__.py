"""Find the distributions that a model's initialization code draws from, and write them as a recipe."""
