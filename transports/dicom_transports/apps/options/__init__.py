"""Groups of options that several commands have, and what they make of what a user has given."""
