"""What programs call: notebooks, tests, and every command of `lab`. The package `lab` offers it as its own (`import lab`)."""
