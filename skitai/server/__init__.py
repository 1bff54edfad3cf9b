"""What accepts connections and serves what is mounted."""
