"""How does this project stand beside other programs? Their images by their own code, scored as `evaluate` scores ours.

A peer is a command that turns a folder of pairs into a folder of fused images, in a process of its own: `spec` reads
which there are, `builtin` and `adapters` know some by name, `stage` gives all of them the same files, `measure` runs
them, `table` says who wins. Code and weights of a peer stay in the user's own checkout.
"""
