"""When Python looks for garbage that reference counts do not find."""

import gc

THRESHOLDS = (5_000, 5, 100)
"""New containers until the young ones are looked through, and how often that is until the older and
the oldest ones are.
"""


def collect_rarely() -> None:
    """For a process that holds thousands of connections and must answer at once. To be called when
    everything is set up.

    By default the oldest objects, all that ever stayed, are looked through after some 70,000 new
    ones: with 2,000 subscribers the gateway stood still for 0.2 to 0.4 s each time, several times a
    second while they came. What is there now stays for good and is never looked through again; the
    rest seldom as a whole, and in small portions otherwise (at most some 30,000 objects, about 30
    ms).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
