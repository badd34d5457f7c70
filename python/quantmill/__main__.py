"""`python -m quantmill`: the commands of the alpha cycle."""

from quantmill.cli import main

main()
