"""Results that backward makes again rather than finds kept: less memory for more operators.

The idea is that of Chen et al. (2016, arXiv:1604.06174). What to keep where only cheap operators are called
again is a minimum cut, as in PyTorch's own partitioner; where all may be, checkpoints are searched for.

`tape` says what a joint graph's operators read and make, `costs` what they cost, `schedule` what lives when
some of it isn't kept, `choice` what to keep; `replay` rewrites the graph.
"""
