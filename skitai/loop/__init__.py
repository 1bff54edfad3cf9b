"""The reactor's turn, and the ways from app code into the reactor and back."""
