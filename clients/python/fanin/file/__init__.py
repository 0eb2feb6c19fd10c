"""The file of a recipe: its layout, its bytes on disk, their digests, and files that hold several of them."""
