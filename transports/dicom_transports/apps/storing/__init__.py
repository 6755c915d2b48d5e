"""What storescu makes of what it is told: an account, a report, and how far it has come."""
