"""Lessons: a person in front of a network that does not work, who repairs it and is judged by how it behaves then."""
