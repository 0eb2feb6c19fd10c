"""Measure the speed of Fanin's backends and of the installed frameworks on this machine (`fanin bench`).

Only that command imports this package. Every maker runs in a separate process, so this package imports no framework.
"""
