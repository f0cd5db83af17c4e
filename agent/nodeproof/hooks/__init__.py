"""What slurmd runs on a node: HealthCheckProgram, Prolog and Epilog.

Their environment is poor (no PATH, no HOME, `/` for a directory), health checks overlap when they are slow, and one
is run before slurmd has registered. So nothing heavy is imported before a run knows that it is its turn, all parts
of a run share one deadline, and whatever keeps a run from judging the node exits 0: a broken installation or policy
must not drain a cluster.
"""

import os

from nodeproof.hooks.loud import EXIT_LOUD, say
from nodeproof.hooks.occasion import Occasion, occasion_of
from nodeproof.hooks.turn import only_one

KINDS = ("healthcheck", "prolog", "epilog")

#: What the command line ends with when it is called in a wrong way.
EXIT_USAGE = 2


def run(kind: str, policy_directory: str | None = None, state_dir: str | None = None) -> int:
    """Run a hook and return its exit code."""
    occasion, warnings = occasion_of(kind, os.environ)
    if kind != "healthcheck":  # two jobs may start at once, and each must be answered
        return _judge(occasion, warnings, policy_directory, state_dir)
    with only_one(state_dir) as is_our_turn:
        if is_our_turn:
            return _judge(occasion, warnings, policy_directory, state_dir)
    say(occasion, ["another health check of this node is still running: this one leaves"], is_hidden=False)
    return 0


def _judge(occasion: Occasion, warnings: list[str], policy_directory: str | None, state_dir: str | None) -> int:
    from nodeproof.errors import NodeproofError

    try:
        from nodeproof.hooks.judge import judge

        answer = judge(occasion, policy_directory, state_dir)
    except NodeproofError as error:  # a policy that cannot be read, and no last good one
        problem = str(error)
    except Exception as error:  # noqa: BLE001  # a bug of ours, or a broken installation, must drain no cluster
        problem = f"{type(error).__name__}: {error}"
    else:
        say(occasion, [*warnings, *answer.lines], is_hidden=answer.exit_code == 0)
        return answer.exit_code
    lines = [f"this node is not judged: {line}" for line in problem.splitlines()]
    say(occasion, [*warnings, *lines], is_hidden=True)
    return EXIT_LOUD if occasion.kind == "healthcheck" else 0
