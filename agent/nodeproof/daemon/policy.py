"""The policy that the agent goes by: read in a child, kept when the next one is broken."""

import time

from nodeproof.daemon.child import ChildFailed, Children
from nodeproof.daemon.judging import learn_settings
from nodeproof.policy.settings import Settings

#: Seconds that reading a policy may take: identifying the node may ask a GPU driver.
_LIMIT_S = 30.0


class Policy:
    """Settings of this node, and what is wrong with the files that they come from ("" where nothing is)."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self.settings = Settings()
        self.host_name = ""
        self.problem = "not read yet"
        self.loaded_at = 0.0

    @property
    def node(self) -> str:
        return self.settings.slurm.node_name or self.host_name.partition(".")[0]

    async def load(self, children: Children) -> bool:
        """Read the files anew. False, and `problem` says why: what was good last stays in force."""
        try:
            answered = await children.run(lambda: learn_settings(self._directory), _LIMIT_S)
        except ChildFailed as error:
            self.problem = str(error)
            return False
        settings, warnings, host_name = answered.value
        self.settings, self.host_name = settings, host_name
        self.problem = "; ".join(warnings)
        self.loaded_at = time.time()
        return not warnings
