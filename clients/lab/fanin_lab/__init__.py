"""Tools beside the library: benchmarks (`fanin bench`) and comparisons of schemes (`fanin compare`)."""
