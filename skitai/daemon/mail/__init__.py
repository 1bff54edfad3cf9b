"""The delivery agent, which sends the mail in the spool, and the command that shows and steers it."""
