"""Compare initializers on small networks, before and after training (`fanin compare`).

Only that command imports this package. It needs the packages of `fanin[compare]`.
"""
