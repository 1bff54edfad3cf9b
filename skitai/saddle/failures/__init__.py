"""What a client sees when a view fails."""
