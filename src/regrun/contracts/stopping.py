"""Stop requests: how a run is asked to stop and reports that it has."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path


class StopRequest:
    """Whether the run has been asked to stop, by Ctrl-C, SIGTERM, a closed terminal or its sweep.

    The first signal is a request, heeded after the current step; a second Ctrl-C more than half a second
    later kills. A sweep in other processes asks by a file, named in an environment variable.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
    FILE_VARIABLE = "REGRUN_STOP_FILE"
    LOOK_EVERY = 0.2  # seconds between looks for the file

    def __init__(self) -> None:
        self.asked = False
        self._since: float | None = None  # the first signal
        self._looked = 0.0

    @property
    def requested(self) -> bool:
        """Whether to stop; cheap enough to ask at every step."""
        if not self.asked and (file := os.environ.get(self.FILE_VARIABLE)):
            now = time.monotonic()
            if now - self._looked > self.LOOK_EVERY:
                self._looked = now
                if Path(file).exists():
                    self.asked, self._since = True, None
        return self.asked

    def check(self) -> None:
        """Raise ``StoppedError`` if the run is to stop; a procedure calls this between steps."""
        if self.requested:
            raise StoppedError

    @property
    def signals(self) -> list[signal.Signals]:
        """The signals to handle: not SIGHUP if ``nohup`` has had it ignored."""
        ignored = signal.SIG_IGN
        return [n for n in self.SIGNALS if n.name != "SIGHUP" or signal.getsignal(n) is not ignored]

    def listen(self) -> None:
        """Install the handlers, in the main thread only; call again if a library has replaced them."""
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                signal.signal(number, self.heed)

    def heed(self, number: int, frame: object) -> None:
        """Record a signal as a request; raise on a second Ctrl-C more than half a second later."""
        if not self.asked or self._since is None:
            self.asked = True
            self._since = time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > 0.5:
            raise KeyboardInterrupt


class StoppedError(Exception):
    """Raised by a procedure that has stopped on request, with its state saved."""
