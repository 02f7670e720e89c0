"""What README claims about speed, runnable: each module is a command."""
