"""How fast elements are made on this machine: Fanin's backends beside the frameworks installed here (`fanin bench`).

Imported by that command alone. Every maker runs in a process of its own, so that nothing here imports a framework.
"""
