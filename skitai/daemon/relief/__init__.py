"""How a server of one process is replaced while it serves, under the same process id.

A process cannot load new code beside the old, and must not change its id: whoever watches over it knows that.
So there is a *stand-in* for a while, a nursery and its worker as under a supervisor, with the sockets of this
process:

- ``recruiting`` starts it. What cannot be loaded is refused, and nothing has happened.
- The process answers what is under way, while the stand-in serves. Then it becomes a new one of the same
  command (exec), or a supervisor if the config wants several workers by now.
- ``standin`` is what that one inherits: when it serves, the stand-in ends in good order.
"""
