"""What others have, as the files and states of a lab."""
