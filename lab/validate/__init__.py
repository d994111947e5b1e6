"""What a change does before anybody makes it: its steps, everybody's packets before, meanwhile and after, and the way back."""
