"""``was.email``: composes a mail, and puts it into the spool, where the delivery agent finds it.

``email`` is the object that apps fill. ``posting`` is one ``send()``, ``outbox`` writes what is sent. What a
message consists of, and what is on disk, is of ``skitai.mail``.
"""
