"""The server: it accepts connections and answers requests from what is mounted."""
