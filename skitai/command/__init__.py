"""The command ``skitai``: its options, and what it prints besides serving."""
