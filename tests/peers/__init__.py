"""Initializers of other libraries: the library is run, and its values follow the distribution of our draw.

`initializers`, `layers` and `formulas` say how each is called there and what tensor is the same here. `run` evaluates
the calls in a separate process, `distributions` compares, and `page` writes docs/initializers.md.
"""
