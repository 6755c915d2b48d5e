"""Stand-ins for other packages, each under that package's own module names; nothing else imports them."""
