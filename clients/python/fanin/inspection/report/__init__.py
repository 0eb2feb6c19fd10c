"""An inspection as text and as a page."""
