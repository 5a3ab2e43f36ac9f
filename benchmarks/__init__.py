"""What the client costs, measured beside what else one could use. See README.md here."""
