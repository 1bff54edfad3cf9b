"""How a server that reloads is replaced as a whole, and soon.

The process that was started loads config, plugins and sockets, but no app. It is the *parent* that forks a
*child*, which loads the apps and serves. When files have changed, the child answers what is under way and
ends, and the parent forks another one: nothing is left of the old code, and all that is not the app's is
there already. New connections wait meanwhile in the sockets, which the parent holds.

Where the change is in what the parent has loaded, it becomes a new process of the same command (exec).
"""
