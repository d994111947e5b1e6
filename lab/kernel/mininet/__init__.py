"""The Mininet engine: nodes, links and addresses made by Mininet's own classes, inside the lab's sandbox."""
