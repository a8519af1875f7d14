"""Mainstem beside its peers, in one run on one machine with the same load.

``python -m benchmarks [--quick] [--only NAME] [--json]``. Each module is one benchmark and says
whether it is a gate (a number we hold ourselves to) or information, who the peer is, and the
traps. Ratios are what counts; absolute figures belong to the machine that is printed with them.
"""
