"""From a pass to Slurm and back: remember it, decide, and do what policy says.

`result` of what `act` returns is one of these words:

nothing          nothing was wanted, and nothing asked
busy             another run holds the state: this one did nothing
would_drain      policy only observes
would_resume     the same
drained          drained by us, now
adopted          Slurm had drained it since our prolog failed; the drain is ours now
already_drained  our earlier drain stands
left_alone       out of service by somebody else, and left so
held_back        it ought to be drained, but the guard lets no more nodes out of service; it is in service
resumed          our drain was taken back
already_resumed  somebody else took our drain back
not_ready        to be resumed once its slurmd has registered
unnoted          our finding was taken out of its `extra`
lost_race        somebody else wrote at the same time: what it is now is theirs
unsure           Slurm did not answer: the wish is kept, and the next run carries it out
slurm_error      Slurm said no, or policy's settings for it will not do
no_slurm_url     policy names neither a slurmrestd nor a controller
error            a bug of ours
"""

from nodeproof.act.prolog import note_prolog_failure
from nodeproof.act.run import OUT_OF_SERVICE, UNSURE, act

__all__ = ["OUT_OF_SERVICE", "UNSURE", "act", "note_prolog_failure"]
