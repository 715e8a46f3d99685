"""What the unit tests and the system tests of test_core_resume.py share."""

import signal
import threading
import time
from typing import Any

from aetherflow.core.api import Step, register_step


@register_step("test_signal_elsewhere")
class SignalElsewhere(Step[Any]):
    """The kernel may hand a signal to any thread; here it comes to the step's own."""

    def run(self) -> None:
        """Signal this thread, wait for the stop."""
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        for _ in range(500):
            self.ctx.check_cancelled()
            time.sleep(0.01)
        raise AssertionError("the stop request was not seen")
