"""What a plugin author imports.

``hookimpl`` marks a function as an implementation of a hook; ``Answerer`` is what the hook ``skitai_mount``
returns. ``counter``, ``gauge`` and ``lowest`` make what ``skitai_metrics`` returns.
"""

from skitai.plugins.hookspecs import hookimpl
from skitai.plugins.metrics import Metric, counter, gauge, lowest
from skitai.plugins.mounting import Answerer

__all__ = ["Answerer", "Metric", "counter", "gauge", "hookimpl", "lowest"]
