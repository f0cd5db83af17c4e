"""The drain controller: nodes hand it what they want of Slurm, and it alone holds the token.

What it costs slurmrestd: nothing while nodes are healthy. A batch (whoever asks within `controller.batch_s` of the one
before, for eight times that at most) reads all nodes once, writes once for each reason and 250 names, and reads once
more: 6 requests for 1,000 nodes with one reason, 1 for a batch of which the guard refuses all. One node alone is 3.
A read of all nodes is 2.3 kB a node: 2.3 MB and 0.13 s of slurmctld's time for 1,000 nodes, 23 MB for 10,000.

What it costs a node: one connection, 1.2 kB there and 1.4 kB back with TLS (more with a long chain of certificates).
What it costs the controller: 1.3 ms of CPU for each node that asks, 0.3 MB while that waits, and 50 MB in any case.

Nothing is imported here: a node needs `client`, and none of the rest.
"""
