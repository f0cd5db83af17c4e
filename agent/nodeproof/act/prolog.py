"""What a prolog leaves behind before it fails."""

from nodeproof.state import Store


def note_prolog_failure(state_dir: str | None, now_s: float, wait_s: float = 1.0) -> list[str]:
    """Remember that our prolog is about to fail, so that a later run can make Slurm's "Prolog error" ours.

    Called before the exit, whatever `act` said; `now_s` is in seconds since the epoch. Returns warnings.
    """
    store = Store(state_dir or "")
    with store.locked(wait_s) as is_ours:
        if is_ours:
            store.save(store.load()._replace(prolog_failed_at=int(now_s)))
        else:
            store.warnings.append(f"another run holds {store.directory}: a drain by this prolog will not be ours")
    return store.warnings
