"""What a person runs. The shell scripts need nothing; their Python parts run in the environment those make."""
