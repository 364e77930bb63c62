"""A node in the test's own thread whose client waits for scripts that take more than one turn."""

from __future__ import annotations

from collections.abc import Sequence

from tests.commands.in_process import Argument, Client, InProcessNode


class PatientClient(Client):
    """Waits for a script that takes more than one turn."""

    def chunk(self, *commands: Sequence[Argument]) -> bytes:
        answer = super().chunk(*commands)
        while self.node.server.pace.suspended is not None:
            self.node.server.pace.go_on()
            self.node.end_batch()
        return answer + self.received()


def patient_node(*directives: tuple[str, str]) -> InProcessNode:
    node = InProcessNode(*directives)
    node.client = PatientClient(node)
    return node
