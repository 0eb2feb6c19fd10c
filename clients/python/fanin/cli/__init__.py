"""The command line `fanin`, a module for each of its larger commands."""
