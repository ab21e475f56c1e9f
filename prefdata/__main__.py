"""`python -m prefdata` is the same program as `prefdata`."""

from prefdata.cli.main import main

main()
