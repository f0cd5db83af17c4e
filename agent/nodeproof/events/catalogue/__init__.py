"""All rules, in the order in which a line is held against them: the first that matches has it.

Data in Python and not in TOML, because every pass needs it for its checks, and a pass has no milliseconds for tomllib.
"""

from nodeproof.events.catalogue import gpu, memory, network, pcie, storage, system
from nodeproof.events.rule import Rule

RULES: tuple[Rule, ...] = (*gpu.RULES, *memory.RULES, *pcie.RULES, *network.RULES, *storage.RULES, *system.RULES)

BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}
