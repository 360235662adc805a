"""The measured claims: each command prints a table with its machine, its versions and its conventions."""
