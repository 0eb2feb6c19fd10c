"""Which initializer, when: small real networks measured at their start and trained, scheme by scheme (`fanin compare`).

Imported by that command alone; needs the packages of `fanin[compare]`.
"""
